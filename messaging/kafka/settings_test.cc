#include "messaging/kafka/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace marquee::messaging::kafka {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

absl::StatusOr<KafkaSettings> Parse(const char* url,
                                    const std::map<std::string, std::string>& settings) {
  return KafkaSettings::Parse(KafkaUrl::Parse(url).value(), settings);
}

std::string ErrorOf(const char* url, const std::map<std::string, std::string>& settings) {
  absl::Status status = Parse(url, settings).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(KafkaSettingsTest, WithoutAnyTheDefaultsHold) {
  absl::StatusOr<KafkaSettings> settings = Parse("kafka://a", {});
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->compression, "lz4");
  EXPECT_FALSE(settings->replication_factor.has_value());
  EXPECT_TRUE(settings->sasl_mechanism.empty());
  EXPECT_FALSE(settings->pack);
}

TEST(KafkaSettingsTest, PacksAreSwitchedOnAndOff) {
  EXPECT_TRUE(Parse("kafka://a", {{"kafka.pack", "on"}}).value().pack);
  EXPECT_FALSE(Parse("kafka://a", {{"kafka.pack", "off"}}).value().pack);
}

TEST(KafkaSettingsTest, AnUnknownNameIsRefusedWithTheNearestThatIsKnown) {
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.replication_facter", "3"}}),
              HasSubstr("did you mean kafka.replication_factor?"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.acks", "0"}}), HasSubstr("unknown setting kafka.acks"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.pasword", "s3cret"}}),
              AllOf(HasSubstr("did you mean kafka.password?"), Not(HasSubstr("s3cret"))));
}

TEST(KafkaSettingsTest, AValueOutOfRangeIsRefusedWithTheRange) {
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.replication_factor", "0"}}), HasSubstr("from 1 to"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.linger_ms", "5000"}}), HasSubstr("from 0 to 100"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.compression", "zip"}}), HasSubstr("lz4 or zstd"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.pack", "true"}}), HasSubstr("on or off"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.pack_bytes", "1000000"}}), HasSubstr("1 to 524288"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.sasl_mechanism", "OAUTHBEARER"}}),
              HasSubstr("SCRAM-SHA-512"));
  EXPECT_THAT(
      ErrorOf("kafka://a", {{"kafka.min_insync_replicas", "3"}, {"kafka.replication_factor", "2"}}),
      HasSubstr("nothing could ever be published"));
}

TEST(KafkaSettingsTest, APasswordOverPlaintextIsRefusedUnlessTold) {
  EXPECT_THAT(ErrorOf("kafka://u:s3cret@a", {}),
              AllOf(HasSubstr("kafkas://"), Not(HasSubstr("s3cret"))));
  absl::StatusOr<KafkaSettings> told =
      Parse("kafka://u:s3cret@a", {{"kafka.allow_plaintext_password", "true"}});
  ASSERT_TRUE(told.ok()) << told.status();
  EXPECT_EQ(told->sasl_mechanism, "SCRAM-SHA-512");
  EXPECT_TRUE(Parse("kafkas://u:s3cret@a", {}).ok());
}

TEST(KafkaSettingsTest, APasswordMayComeFromAFile) {
  std::string path = testing::TempDir() + "/kafka_password." + std::to_string(getpid());
  std::ofstream(path) << "s3cret\nmore\n";
  absl::StatusOr<KafkaSettings> settings =
      Parse("kafkas://a", {{"kafka.username", "u"}, {"kafka.password_file", path}});
  unlink(path.c_str());
  ASSERT_TRUE(settings.ok()) << settings.status();
  EXPECT_EQ(settings->password, "s3cret");
  EXPECT_THAT(ErrorOf("kafkas://u:s3cret@a", {{"kafka.password_file", path}}),
              AllOf(HasSubstr("one of them"), Not(HasSubstr("s3cret"))));
  EXPECT_THAT(ErrorOf("kafkas://a", {{"kafka.username", "u"}, {"kafka.password_file", path}}),
              HasSubstr(path));
}

TEST(KafkaSettingsTest, HalfALoginOrACertificateIsRefused) {
  EXPECT_THAT(ErrorOf("kafkas://a", {{"kafka.username", "u"}}), HasSubstr("a user alone"));
  EXPECT_THAT(ErrorOf("kafkas://a", {{"kafka.sasl_mechanism", "PLAIN"}}), HasSubstr("a password"));
  EXPECT_THAT(ErrorOf("kafkas://a", {{"kafka.key_file", "k"}}),
              HasSubstr("kafka.certificate_file"));
  EXPECT_THAT(ErrorOf("kafka://a", {{"kafka.ca_file", "ca"}}), HasSubstr("kafkas://"));
}

}  // namespace
}  // namespace marquee::messaging::kafka
