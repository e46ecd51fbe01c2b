#include "messaging/open/open.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace marquee::messaging {
namespace {

using testing::HasSubstr;
using testing::Not;

class OpenBrokerTest : public testing::Test {
 protected:
  absl::Status Open(std::string_view url) { return OpenBroker(url, {}, clock_).status(); }

  ManualClock clock_;
};

TEST_F(OpenBrokerTest, SqliteOpensAFolderThatIsMade) {
  std::string directory = testing::TempDir() + "/open_test/made";
  absl::StatusOr<std::unique_ptr<Broker>> broker = OpenBroker("sqlite:" + directory, {}, clock_);
  ASSERT_TRUE(broker.ok()) << broker.status();
  EXPECT_TRUE((*broker)->ListTopics().ok());
}

TEST_F(OpenBrokerTest, MemoryOpensAWorldOfItsOwn) {
  EXPECT_TRUE(Open("memory:").ok()) << Open("memory:");
}

TEST_F(OpenBrokerTest, KafkaIsOpenedBeforeItAnswers) {
  for (std::string url : {"kafka://127.0.0.1:1", "kafka://a,b:9093", "kafkas://a"})
    EXPECT_TRUE(Open(url).ok()) << url << " " << Open(url);
  for (std::string url : {"kafka:a", "kafka://", "kafka://a:0", "kafka://u:secret@a"}) {
    absl::Status status = Open(url);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret"))) << url;
  }
}

TEST_F(OpenBrokerTest, AnotherSchemeIsRefusedWithThoseThatAreKnown) {
  for (std::string url : {"ftp://somewhere", "", "sqlite", "/data/log", ":x", "sqlite:"}) {
    absl::Status status = Open(url);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << url;
    EXPECT_THAT(std::string(status.message()), HasSubstr("sqlite:")) << url;
  }
}

TEST_F(OpenBrokerTest, RabbitmqIsWaitedForUntilTheDeadline) {
  SystemClock clock;
  BrokerOptions options;
  options.deadline = absl::Milliseconds(50);
  // Nobody listens there.
  absl::Status status = OpenBroker("amqp://u:secret@127.0.0.1:1/", options, clock).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

TEST_F(OpenBrokerTest, APasswordIsNotShown) {
  absl::Status status = Open("amqp://user:secret@host:port/");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("secret")));
}

}  // namespace
}  // namespace marquee::messaging
