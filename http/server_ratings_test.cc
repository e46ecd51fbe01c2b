// POST /api/v1/ratings over sockets.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>

#include "absl/strings/str_cat.h"
#include "http/server_world.h"

namespace marquee::http {
namespace {

using ::testing::HasSubstr;

constexpr char kRating[] =
    R"({"user_id": 7, "movie_id": 318, "rating": 4.5, "timestamp": 1700000000})";

class ServerRatingsTest : public ServerWorld {
 protected:
  ServerRatingsTest() {
    options_.body_bytes_max = 300'000;
    options_.ratings_per_request_max = 3000;
    StartServer();
  }
  void SendPost(RawClient& client, const std::string& body, const std::string& headers = "") {
    client.Send(absl::StrCat(
        "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n",
        "Content-Length: ", body.size(), "\r\n", headers, "\r\n", body));
  }
};

TEST_F(ServerRatingsTest, RatingIsAnsweredWhenTheIntakeSaysThatItIsDurable) {
  RawClient client(port());
  SendPost(client, kRating, "Idempotency-Key: abc\r\n");
  TestIntake::Request request = intake_.Take();
  ASSERT_EQ(request.ratings.ratings.size(), 1u);
  EXPECT_EQ(request.ratings.ratings[0].user.value(), 7u);
  EXPECT_EQ(request.ratings.ratings[0].movie.value(), 318u);
  EXPECT_EQ(request.ratings.ratings[0].value.value(), 4500);
  EXPECT_EQ(request.ratings.ratings[0].time_seconds, 1700000000);
  EXPECT_EQ(request.ratings.idempotency_key, "abc");
  LogPosition position = PositionAt(77);
  request.done(position);
  RawResponse response = client.Read();
  EXPECT_EQ(response.status, 202);
  boost::json::value body = boost::json::parse(response.body);
  EXPECT_EQ(body.at("accepted"), 1);
  auto decoded = LogPosition::Decode(std::string(body.at("position").as_string()));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, position);
}

TEST_F(ServerRatingsTest, RepeatOfARequestHasTheSameDigestThoughTimeHasPassed) {
  RawClient client(port());
  auto digest_of = [&](const std::string& body) {
    SendPost(client, body);
    TestIntake::Request request = intake_.Take();
    request.done(PositionAt(1));
    EXPECT_EQ(client.Read().status, 202);
    return request.ratings.body_digest;
  };
  uint64_t first = digest_of(R"({"user_id":1,"movie_id":2,"rating":4})");
  clock_.Advance(absl::Hours(1));
  EXPECT_EQ(digest_of(R"([{"rating":4.0, "movie_id":2, "user_id":1}])"), first);
  EXPECT_NE(digest_of(R"({"user_id":1,"movie_id":2,"rating":4.5})"), first);
  EXPECT_NE(digest_of(R"({"user_id":1,"movie_id":2,"rating":4,"timestamp":0})"), first);
}

TEST_F(ServerRatingsTest, RefusalsOfTheIntakeHaveStatusesOfTheirOwn) {
  RawClient client(port());
  struct Case {
    absl::Status status;
    int expected;
    bool retry;
  };
  for (const Case& each : {Case{absl::ResourceExhaustedError("behind"), 429, true},
                           Case{absl::UnavailableError("away"), 503, true},
                           Case{absl::FailedPreconditionError("key was used"), 422, false},
                           Case{absl::InternalError("secret path"), 503, true}}) {
    SendPost(client, kRating);
    intake_.Take().done(each.status);
    RawResponse response = client.Read();
    EXPECT_EQ(response.status, each.expected);
    EXPECT_EQ(response.header("retry-after"), each.retry ? "1" : "") << each.expected;
    EXPECT_EQ(response.body.find("secret"), std::string::npos);
  }
}

TEST_F(ServerRatingsTest, IntakeThatNeverAnswersIsNotWaitedForForEver) {
  RawClient client(port());
  SendPost(client, kRating);
  TestIntake::Request request = intake_.Take();
  RawResponse response = client.Read(false, TimePasses(absl::Seconds(20)));
  EXPECT_EQ(response.status, 504);
  EXPECT_THAT(response.body, HasSubstr("outcome-unknown"));
  // An answer that comes later is for nobody.
  request.done(PositionAt(1));
  EXPECT_EQ(client.Get("/livez").status, 200);
}

TEST_F(ServerRatingsTest, AnswerAfterTheServerHasGoneIsHarmless) {
  RawClient client(port());
  SendPost(client, kRating);
  TestIntake::Request request = intake_.Take();
  server_.reset();
  request.done(PositionAt(1));
  EXPECT_TRUE(client.ReadsEnd());
}

TEST_F(ServerRatingsTest, WrongBodiesAreRefused) {
  RawClient client(port());
  EXPECT_EQ(client.Post("{").status, 400);
  EXPECT_EQ(client.Post("").status, 400);
  EXPECT_EQ(client.Post("[]").status, 400);
  RawResponse wrong =
      client.Post(absl::StrCat("[", kRating, R"(,{"user_id":1,"movie_id":2,"rating":5.7}])"));
  EXPECT_EQ(wrong.status, 400);
  EXPECT_EQ(boost::json::parse(wrong.body).at("errors").at(0).at("index"), 1);
  EXPECT_EQ(client.Post(kRating, "Idempotency-Key: a b\r\n").status, 400);
  EXPECT_EQ(client.Post(kRating, "Content-Encoding: gzip\r\n").status, 415);
  client.Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: text/plain\r\nContent-Length: "
      "2\r\n\r\n{}");
  EXPECT_EQ(client.Read().status, 415);
  client.Send("POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_EQ(client.Read().status, 415);
  std::string many = "[";
  for (int i = 0; i < 3001; ++i)
    absl::StrAppend(&many, i ? "," : "", R"({"user_id":1,"movie_id":2,"rating":4})");
  EXPECT_EQ(client.Post(many + "]").status, 413);
}

TEST_F(ServerRatingsTest, LargeBodyIsReadApartAndAnsweredInOrder) {
  RawClient client(port());
  std::string many = "[";
  for (int i = 0; i < 3000; ++i)
    absl::StrAppend(&many, i ? "," : "", R"({"user_id":)", i, R"(,"movie_id":2,"rating":4})");
  many += "]";
  ASSERT_GT(many.size(), 64u << 10);
  std::string post =
      absl::StrCat("POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n",
                   "Content-Length: ", many.size(), "\r\n\r\n", many);
  client.Send("GET /livez HTTP/1.1\r\nHost: h\r\n\r\n" + post +
              "GET /version HTTP/1.1\r\nHost: h\r\n\r\n");
  // The first is answered though the second waits.
  TestIntake::Request request = intake_.Take();
  EXPECT_THAT(client.Read().body, HasSubstr("\"status\":\"ok\""));
  EXPECT_EQ(request.ratings.ratings.size(), 3000u);
  request.done(PositionAt(5));
  EXPECT_THAT(client.Read().body, HasSubstr("\"accepted\":3000"));
  EXPECT_THAT(client.Read().body, HasSubstr("1.2.3"));
}

TEST_F(ServerRatingsTest, BodyOverTheLimitIsRefusedBeforeItIsRead) {
  RawClient client(port());
  client.Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/json\r\nContent-Length: 300001\r\n\r\n");
  RawResponse response = client.Read();
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.header("connection"), "close");
  // Chunked, where the length is not said.
  RawClient chunked(port());
  chunked.Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/json\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string chunk = absl::StrCat("10000\r\n", std::string(65536, ' '), "\r\n");
  for (int i = 0; i < 6; ++i) chunked.Send(chunk);
  EXPECT_EQ(chunked.Read().status, 413);
}

TEST_F(ServerRatingsTest, ChunkedBodyAndExpectContinueWork) {
  RawClient client(port());
  client.Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/json\r\nTransfer-Encoding: chunked\r\n"
      "Expect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.Read().status, 100);
  std::string body = kRating;
  client.Send(absl::StrCat("5\r\n", body.substr(0, 5), "\r\n", absl::Hex(body.size() - 5), "\r\n",
                           body.substr(5), "\r\n0\r\n\r\n"));
  intake_.Take().done(PositionAt(1));
  EXPECT_EQ(client.Read().status, 202);
  client.Send("GET /livez HTTP/1.1\r\nHost: h\r\nExpect: tea\r\n\r\n");
  EXPECT_EQ(client.Read().status, 417);
}

}  // namespace
}  // namespace marquee::http
