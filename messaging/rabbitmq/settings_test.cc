#include "messaging/rabbitmq/settings.h"

#include <gtest/gtest.h>

namespace marquee::messaging::rabbitmq {
namespace {

TEST(SettingsTest, PacksAreOnUnlessTheyAreSwitchedOff) {
  EXPECT_TRUE(Settings::Parse({})->pack);
  EXPECT_TRUE(Settings::Parse({{"amqp.pack", "on"}})->pack);
  EXPECT_FALSE(Settings::Parse({{"amqp.pack", "off"}})->pack);
  EXPECT_EQ(Settings::Parse({{"amqp.pack", "no"}}).status().message(),
            "setting amqp.pack: expected on or off, found 'no'");
}

TEST(SettingsTest, AWindowIsOfPacksOrOfManyMoreRecords) {
  std::map<std::string, std::string> settings = {{"amqp.confirm_window_messages", "10"}};
  EXPECT_EQ(Settings::Parse(settings)->window_messages(), 10);
  settings["amqp.pack"] = "off";
  EXPECT_EQ(Settings::Parse(settings)->window_messages(), 160);
}

TEST(SettingsTest, WhoLogsInByCertificateSaysSo) {
  EXPECT_FALSE(Settings::Parse({})->external);
  EXPECT_FALSE(Settings::Parse({{"amqp.authentication", "password"}})->external);
  EXPECT_TRUE(Settings::Parse({{"amqp.authentication", "external"}})->external);
  EXPECT_EQ(Settings::Parse({{"amqp.authentication", "certificate"}}).status().message(),
            "setting amqp.authentication: expected external or password, found 'certificate'");
}

TEST(SettingsTest, AnUnknownNameIsRefusedWithTheNearestKnownOne) {
  absl::Status status = Settings::Parse({{"amqp.pak", "off"}}).status();
  EXPECT_NE(status.message().find("amqp.pack"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace marquee::messaging::rabbitmq
