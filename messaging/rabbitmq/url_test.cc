#include "messaging/rabbitmq/url.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "messaging/rabbitmq/settings.h"

namespace marquee::messaging::rabbitmq {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(UrlTest, EachPartIsWhatItSays) {
  absl::StatusOr<Url> url = ParseUrl("amqp://ann:s%3Acret@example.com:5673/films%2Feu");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_FALSE(url->tls);
  EXPECT_EQ(url->user, "ann");
  EXPECT_EQ(url->password, "s:cret");
  EXPECT_EQ(url->nodes, (std::vector<Node>{{"example.com", 5673}}));
  EXPECT_EQ(url->vhost, "films/eu");
}

TEST(UrlTest, WhatIsLeftOutHasTheBrokersDefaults) {
  absl::StatusOr<Url> url = ParseUrl("amqp://localhost");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->user, "guest");
  EXPECT_EQ(url->nodes, (std::vector<Node>{{"localhost", 5672}}));
  EXPECT_EQ(url->vhost, "/");
  EXPECT_EQ(ParseUrl("amqps://localhost/")->nodes[0].port, 5671);
  EXPECT_EQ(ParseUrl("amqp://localhost/%2F")->vhost, "/");
}

TEST(UrlTest, SeveralHostsAreTheNodesOfOneBroker) {
  absl::StatusOr<Url> url = ParseUrl("amqp://u:p@a:1,[2001:db8::1]:2,c/v");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->nodes, (std::vector<Node>{{"a", 1}, {"2001:db8::1", 2}, {"c", 5672}}));
}

TEST(UrlTest, WhatIsNotSuchAUrlIsRefusedAndShowsNoPassword) {
  for (const char* text :
       {"http://u:secret@h/", "amqp://u:secret@", "amqp://u:secret@h:0/",
        "amqp://u:secret@h:65536/", "amqp://u:secret@h:x/", "amqp://u:sec%zret@h/",
        "amqp://:secret@h/", "amqp://u:secret@h/a/b", "amqp://u:secret@h/?heartbeat=5",
        "amqp://u:secret%00@h/", "amqp://u:secret@a,,b/", ""}) {
    absl::Status status = ParseUrl(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret"))) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("amqp://")) << text;
  }
}

TEST(UrlTest, ItIsShownWithoutUserAndPassword) {
  std::string shown = ParseUrl("amqps://ann:secret@h:1/v")->ToString();
  EXPECT_EQ(shown, "amqps://h:1, vhost v");
}

TEST(SettingsTest, AnUnknownOneIsRefusedWithTheNearest) {
  absl::Status status = Settings::Parse({{"amqp.hartbeat_seconds", "5"}}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("amqp.hartbeat_seconds"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("amqp.heartbeat_seconds?"));
}

TEST(SettingsTest, ANumberIsTakenWithinItsRangeAlone) {
  EXPECT_EQ(Settings::Parse({{"amqp.prefetch_messages", "7"}})->prefetch_messages, 7);
  for (const char* text : {"0", "10001", "-1", "seven", ""}) {
    absl::Status status = Settings::Parse({{"amqp.prefetch_messages", text}}).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("from 1 to 10000")) << text;
  }
}

TEST(SettingsTest, ACertificateNeedsItsKey) {
  EXPECT_FALSE(Settings::Parse({{"amqp.certificate_file", "a.pem"}}).ok());
  EXPECT_TRUE(
      Settings::Parse({{"amqp.certificate_file", "a.pem"}, {"amqp.key_file", "a.key"}}).ok());
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
