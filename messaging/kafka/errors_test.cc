#include "messaging/kafka/errors.h"

#include <gtest/gtest.h>

#include "messaging/kafka/group_membership.h"
#include "messaging/kafka/groups.h"
#include "messaging/kafka/topic_config.h"

namespace marquee::messaging::kafka {
namespace {

TEST(KafkaErrorsTest, TheCodeSaysWhatToDo) {
  auto code = [](rd_kafka_resp_err_t error) { return StatusOf(error, "x").code(); };
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR__TRANSPORT), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION), absl::StatusCode::kUnavailable);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART), absl::StatusCode::kNotFound);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED),
            absl::StatusCode::kFailedPrecondition);
}

TEST(KafkaErrorsTest, AConnectionThatBreaksAmidALogInIsNoRefusal) {
  EXPECT_FALSE(IsRefusal(RD_KAFKA_RESP_ERR__TRANSPORT,
                         "SASL authentication error: Local: Broker transport failure"));
  EXPECT_FALSE(IsRefusal(RD_KAFKA_RESP_ERR__AUTHENTICATION, "Disconnected"));
  EXPECT_FALSE(IsRefusal(RD_KAFKA_RESP_ERR__AUTHENTICATION,
                         "SASL PLAIN mechanism handshake failed: Local: Broker transport failure"));
  EXPECT_TRUE(IsRefusal(RD_KAFKA_RESP_ERR__AUTHENTICATION,
                        "SASL authentication error: Authentication failed during authentication "
                        "due to invalid credentials with SASL mechanism SCRAM-SHA-256"));
  EXPECT_TRUE(IsRefusal(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: certificate verify failed"));
  EXPECT_FALSE(IsRefusal(RD_KAFKA_RESP_ERR__SSL, "SSL handshake failed: Disconnected"));
}

TEST(KafkaGroupsTest, AGroupHasANameForEachNumberOfShards) {
  EXPECT_EQ(KafkaGroupOf("g", 12, 12), "g");
  EXPECT_EQ(KafkaGroupOf("g", 5, 12), "g.5-shards");
  EXPECT_EQ(GroupOf("g.5-shards"), "g");
  for (const char* name : {"g", ".5-shards", "g.x-shards", "g-shards", "5-shards"})
    EXPECT_EQ(GroupOf(name), name);
}

TEST(KafkaGroupsTest, ACommitTellsTheGenerationAndWhetherItWasReported) {
  CommitNote note = ParseCommitText(CommitText(7'000'001, false));
  EXPECT_EQ(note.generation, 7'000'001u);
  EXPECT_FALSE(note.reported);
  EXPECT_TRUE(ParseCommitText("").reported) << "another program's";
  EXPECT_EQ(ParseCommitText("something else").generation, 0u);
}

TEST(KafkaTopicConfigTest, ATopicIsAskedForAndRecognised) {
  KafkaSettings settings;
  TopicSpec event{.name = "t", .kind = TopicKind::kEvent, .shards = 4};
  auto config = ConfigOfNewTopic(event, settings, ReplicaCountsFor(settings, 3));
  EXPECT_EQ(config["cleanup.policy"], "delete");
  EXPECT_EQ(config["retention.ms"], "-1");
  EXPECT_EQ(config["min.insync.replicas"], "2");
  TopicSpec entity{.name = "t", .kind = TopicKind::kEntity, .shards = 4};
  config = ConfigOfNewTopic(entity, settings, ReplicaCountsFor(settings, 1));
  EXPECT_EQ(config["cleanup.policy"], "compact");
  EXPECT_EQ(config["min.insync.replicas"], "1");
}

TEST(KafkaTopicConfigTest, ATopicThatDiffersIsRefusedWithBothShown) {
  KafkaSettings settings;
  TopicSpec spec{.name = "t", .kind = TopicKind::kEvent, .shards = 4};
  TopicConfig config{.message_bytes_max = 2 << 20};
  EXPECT_TRUE(config.CheckAsDeclared(spec, 4, 1, settings).ok());
  auto refused = [&](const TopicConfig& other, const char* found) {
    absl::Status status = other.CheckAsDeclared(spec, 4, 1, settings);
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_NE(status.message().find(found), absl::string_view::npos) << status;
  };
  TopicConfig other = config;
  other.retention_bytes = 1'000'000;
  refused(other, "1000000");
  other = config;
  other.cleanup_policy = "compact,delete";
  refused(other, "entity");
  other = config;
  other.message_bytes_max = 1000;
  refused(other, "1000");
  settings.replication_factor = 3;
  refused(config, "replication factor=3, found 1");
}

}  // namespace
}  // namespace marquee::messaging::kafka
