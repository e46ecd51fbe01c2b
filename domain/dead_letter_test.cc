#include "domain/dead_letter.h"

#include "gtest/gtest.h"

namespace marquee::domain {
namespace {

DeadLetter OfMessage() {
  DeadLetter letter;
  letter.message = {
      .topic = "ratings", .topic_identity = "id", .shard = 3, .offset = LogOffset(99)};
  letter.key = std::string("\xff\0k", 3);
  letter.value = std::string("\0\xfe", 2);
  letter.error = "the value is 5.7";
  letter.attempts = 2;
  letter.first_seen = absl::FromUnixMillis(1'700'000'000'123);
  letter.last_seen = absl::FromUnixMillis(1'700'000'001'456);
  letter.service = "meanratingproducer";
  letter.version = "0.1.0";
  return letter;
}

DeadLetter OfRow() {
  DeadLetter letter = OfMessage();
  letter.message.reset();
  letter.row = {.source = "ml", .incarnation = Incarnation(65537), .row = 12};
  letter.key.clear();
  return letter;
}

TEST(DeadLetter, IsReadAsItWasWritten) {
  DeadLetter without_value = OfMessage();
  without_value.value.reset();
  for (const DeadLetter& letter : {OfMessage(), OfRow(), without_value}) {
    absl::StatusOr<DeadLetter> read = DecodeDeadLetter(EncodeDeadLetter(letter));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, letter);
  }
}

TEST(DeadLetter, KeyNamesTheOrigin) {
  EXPECT_EQ(DeadLetterKey(OfMessage()), "ratings/id/3/99");
  EXPECT_EQ(DeadLetterKey(OfRow()), "row/ml/65537/12");
}

TEST(DeadLetter, LongValueIsCut) {
  DeadLetter letter = OfRow();
  letter.value = std::string(kDeadLetterBytesMax + 1, 'x');
  EXPECT_EQ(DecodeDeadLetter(EncodeDeadLetter(letter))->value->size(), kDeadLetterBytesMax);
}

TEST(DeadLetter, ErrorThatIsNotUtf8IsReadableAllTheSame) {
  DeadLetter letter = OfRow();
  letter.error = "a cell \xff here";
  EXPECT_EQ(DecodeDeadLetter(EncodeDeadLetter(letter))->error, "a cell \xef\xbf\xbd here");
}

TEST(DeadLetter, OtherBytesAreRefused) {
  EXPECT_EQ(DecodeDeadLetter("").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(DecodeDeadLetter("\xff").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace marquee::domain
