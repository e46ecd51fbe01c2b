#include "cli/settings.h"

#include <gtest/gtest.h>

namespace marquee::cli {
namespace {

TEST(MaskSecretsTest, ThePasswordOfAUrlIsHidden) {
  EXPECT_EQ(MaskSecrets("kafkas://u:secret@a:9093,b"), "kafkas://u:***@a:9093,b");
  EXPECT_EQ(MaskSecrets("amqp://u:se/cr@et@host/vhost"), "amqp://u:***@host/vhost");
  EXPECT_EQ(MaskSecrets("kafka://a:9092,b:9092"), "kafka://a:9092,b:9092");
  EXPECT_EQ(MaskSecrets("sqlite:./data/log"), "sqlite:./data/log");
}

TEST(MaskSecretsTest, ASettingThatIsASecretIsHidden) {
  EXPECT_EQ(MaskSecrets("kafka.password=se=cret"), "kafka.password=***");
  EXPECT_EQ(MaskSecrets("kafka.key_password=secret"), "kafka.key_password=***");
  EXPECT_EQ(MaskSecrets("kafka.password_file=/run/password"), "kafka.password_file=/run/password");
  EXPECT_EQ(MaskSecrets("kafka.allow_plaintext_password=true"),
            "kafka.allow_plaintext_password=true");
}

TEST(SettingsTest, WhatIsShownHoldsNoSecret) {
  CLI::App app;
  Settings settings(app);
  std::string broker;
  std::vector<std::string> set;
  settings.Add("broker", broker, "");
  settings.Add("set", set, "");
  app.parse("--broker kafkas://u:secret@h --set kafka.linger_ms=5 --set kafka.password=secret");
  ASSERT_TRUE(settings.Complete("").ok());
  std::vector<Settings::Shown> shown = settings.Show();
  EXPECT_EQ(shown[0].value, "kafkas://u:***@h");
  EXPECT_EQ(shown[1].value, "kafka.linger_ms=5,kafka.password=***");
}

}  // namespace
}  // namespace marquee::cli
