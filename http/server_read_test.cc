// The read API over sockets.
#include <gmock/gmock.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <thread>

#include "absl/strings/str_cat.h"
#include "http/server_world.h"

namespace marquee::http {
namespace {

using catalogue::MakeMean;
using catalogue::MakeMovie;
using catalogue::Titled;
using ::testing::HasSubstr;
using ::testing::Not;

class ServerReadTest : public ServerWorld {
 protected:
  ServerReadTest() {
    Commit({.movies = {Titled(MakeMovie(1, "Heat", 1995, {"Action", "Crime"})),
                       Titled(MakeMovie(2, "Up <b>\"", 2009)), Titled(MakeMovie(3, "Unrated"))},
            .means = {MakeMean(1, 10, 2, 4500), MakeMean(2, 11, 1, 3000), MakeMean(9, 12, 1, 2500)},
            .watermarks = {WatermarkAt(13)}});
    StartServer();
  }
};

TEST_F(ServerReadTest, MovieIsAsTheConventionsHaveIt) {
  RawClient client(port());
  RawResponse heat = client.Get("/api/v1/movies/1");
  EXPECT_EQ(heat.status, 200);
  EXPECT_EQ(heat.header("content-type"), "application/json");
  // The prior: 14.5 stars in 4 ratings. (9 + 50 * 3.625) / 52.
  EXPECT_EQ(
      heat.body,
      "{\"id\":1,\"title\":\"Heat\",\"year\":1995,\"genres\":[\"Action\",\"Crime\"],\"count\":2,"
      "\"sum_thousandths\":9000,\"mean\":4.5,\"bayesian_mean\":3.658654,"
      "\"histogram\":[0,0,0,0,0,0,0,0,2,0]}\n");
  EXPECT_EQ(client.Get("/api/v1/movies/3").body,
            "{\"id\":3,\"title\":\"Unrated\",\"year\":null,\"genres\":[],\"count\":0,\"sum_"
            "thousandths\":0,\"mean\":null,"
            "\"bayesian_mean\":null,\"histogram\":[0,0,0,0,0,0,0,0,0,0]}\n");
  EXPECT_THAT(client.Get("/api/v1/movies/9").body, HasSubstr("\"title\":null"));
  EXPECT_THAT(client.Get("/api/v1/movies/2").body, Not(HasSubstr("<b>")));
}

TEST_F(ServerReadTest, MovieThatIsNotThereOrNoNumberIsAProblem) {
  RawClient client(port());
  RawResponse none = client.Get("/api/v1/movies/77");
  EXPECT_EQ(none.status, 404);
  EXPECT_EQ(none.header("content-type"), "application/problem+json");
  boost::json::value problem = boost::json::parse(none.body);
  EXPECT_EQ(problem.at("status"), 404);
  EXPECT_EQ(problem.at("title"), "Not Found");
  EXPECT_THAT(problem.at("type").as_string().c_str(), HasSubstr("no-such-movie"));
  for (const char* bad : {"x", "0", "-1", "01", "1.0", "9223372036854775808", "%31"}) {
    EXPECT_EQ(client.Get(absl::StrCat("/api/v1/movies/", bad)).status, 400) << bad;
  }
}

TEST_F(ServerReadTest, ChangedMovieIsServedChangedAndOthersFromTheCacheStayRight) {
  RawClient client(port());
  EXPECT_THAT(client.Get("/api/v1/movies/1").body, HasSubstr("\"count\":2"));
  EXPECT_THAT(client.Get("/api/v1/movies/2").body, HasSubstr("\"count\":1"));
  Commit({.means = {MakeMean(1, 20, 5, 4000)}});
  EXPECT_THAT(client.Get("/api/v1/movies/1").body, HasSubstr("\"count\":5"));
  EXPECT_THAT(client.Get("/api/v1/movies/2").body, HasSubstr("\"count\":1"));
  Commit({.movies = {Titled(MakeMovie(2, "Renamed"))}});
  EXPECT_THAT(client.Get("/api/v1/movies/2").body, HasSubstr("Renamed"));
  // Somebody commits and does not say what: everything is read again.
  ASSERT_TRUE(writer_->Commit({.means = {MakeMean(2, 21, 7, 4000)}}).ok());
  visibility_.Advance({}, writer_->CommitNumber());
  EXPECT_THAT(client.Get("/api/v1/movies/2").body, HasSubstr("\"count\":7"));
}

TEST_F(ServerReadTest, ETagHoldsUntilTheMovieOrThePriorChanges) {
  RawClient client(port());
  std::string etag = client.Get("/api/v1/movies/1").header("etag");
  ASSERT_THAT(etag, HasSubstr("\"p"));
  RawResponse same = client.Get("/api/v1/movies/1", "If-None-Match: \"x\", W/" + etag + "\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.header("etag"), etag);
  Commit({.means = {MakeMean(2, 30, 5, 4000)}});
  EXPECT_EQ(client.Get("/api/v1/movies/1", "If-None-Match: " + etag + "\r\n").status, 304);
  Commit({.means = {MakeMean(1, 31, 5, 4000)}});
  RawResponse changed = client.Get("/api/v1/movies/1", "If-None-Match: " + etag + "\r\n");
  EXPECT_EQ(changed.status, 200);
  // A prior is kept for a minute.
  clock_.Advance(absl::Seconds(59));
  EXPECT_EQ(client.Get("/api/v1/movies/1").header("etag"), changed.header("etag"));
  clock_.Advance(absl::Seconds(2));
  EXPECT_NE(client.Get("/api/v1/movies/1").header("etag"), changed.header("etag"));
  EXPECT_EQ(client.Get("/api/v1/movies/1", "If-None-Match: *\r\n").status, 304);
}

TEST_F(ServerReadTest, PageHasAnETagAndIsMadeAnewAfterACommit) {
  RawClient client(port());
  RawResponse top = client.Get("/api/v1/top");
  EXPECT_EQ(client.Get("/api/v1/top", "If-None-Match: " + top.header("etag") + "\r\n").status, 304);
  Commit({.means = {MakeMean(9, 40, 500, 5000)}});
  RawResponse later = client.Get("/api/v1/top", "If-None-Match: " + top.header("etag") + "\r\n");
  EXPECT_EQ(later.status, 200);
  EXPECT_EQ(boost::json::parse(later.body).at("movies").at(0).at("id"), 9);
}

std::vector<int64_t> IdsOf(const boost::json::value& page) {
  std::vector<int64_t> ids;
  for (const auto& movie : page.at("movies").as_array()) ids.push_back(movie.at("id").as_int64());
  return ids;
}

TEST_F(ServerReadTest, ListsSearchFilterSortAndPage) {
  RawClient client(port());
  auto ids = [&](const std::string& target) {
    RawResponse response = client.Get(target);
    EXPECT_EQ(response.status, 200) << response.body;
    return IdsOf(boost::json::parse(response.body));
  };
  using Ids = std::vector<int64_t>;
  EXPECT_EQ(ids("/api/v1/movies?query=HEA"), Ids({1}));
  EXPECT_EQ(ids("/api/v1/movies?genre=crime"), Ids({1}));
  EXPECT_EQ(ids("/api/v1/movies?query=up+%3Cb%3E"), Ids({2}));
  EXPECT_EQ(ids("/api/v1/movies?sort=title"), Ids({1, 3, 2, 9}));
  EXPECT_EQ(ids("/api/v1/movies?sort=id&order=desc"), Ids({9, 3, 2, 1}));
  EXPECT_EQ(ids("/api/v1/movies"), Ids({1, 2, 9, 3}));
  EXPECT_EQ(ids("/api/v1/top"), Ids({1, 2, 9}));
  EXPECT_EQ(ids("/api/v1/top?limit=1"), Ids({1}));
}

TEST_F(ServerReadTest, PagingGoesOnWithItsPriorWhateverChangesMeanwhile) {
  RawClient client(port());
  boost::json::value first = boost::json::parse(client.Get("/api/v1/movies?limit=2").body);
  std::string cursor(first.at("next_cursor").as_string());
  Commit({.means = {MakeMean(50, 60, 1000, 500)}});
  clock_.Advance(absl::Minutes(5));
  server_.reset();
  StartServer();
  RawClient again(port());
  RawResponse second = again.Get("/api/v1/movies?limit=2&cursor=" + cursor);
  ASSERT_EQ(second.status, 200);
  boost::json::value page = boost::json::parse(second.body);
  EXPECT_EQ(IdsOf(page)[0], 9);
  // By the prior of the first page.
  EXPECT_NEAR(page.at("movies").at(0).at("bayesian_mean").as_double(), (2.5 + 50 * 3.625) / 51,
              1e-6);
  EXPECT_EQ(again.Get("/api/v1/movies?limit=2&sort=count&cursor=" + cursor).status, 400);
  EXPECT_EQ(again.Get("/api/v1/top?limit=2&cursor=" + cursor).status, 400);
  EXPECT_EQ(again.Get("/api/v1/movies?cursor=x" + cursor).status, 400);
}

TEST_F(ServerReadTest, WrongParametersAreRefusedByName) {
  RawClient client(port());
  for (const char* bad :
       {"/api/v1/movies?srot=id", "/api/v1/movies?sort=best", "/api/v1/movies?limit=0",
        "/api/v1/movies?limit=501", "/api/v1/movies?limit=x", "/api/v1/movies?order=up",
        "/api/v1/movies?query=%zz", "/api/v1/movies?query=%ff", "/api/v1/movies?query=%00",
        "/api/v1/movies?limit=1&limit=2", "/api/v1/top?sort=id", "/api/v1/movies/1?x=1",
        "/api/v1/movies/1?timeout=5", "/api/v1/movies/1?wait-for=abc",
        "/api/v1/movies?cursor=abc"}) {
    RawResponse response = client.Get(bad);
    EXPECT_EQ(response.status, 400) << bad;
    EXPECT_EQ(response.header("content-type"), "application/problem+json");
  }
  EXPECT_THAT(client.Get("/api/v1/movies?srot=id").body, HasSubstr("srot"));
}

TEST_F(ServerReadTest, WaitForAnswersWhenThePositionIsVisible) {
  RawClient client(port());
  std::string position = PositionAt(21).Encode();
  // Visible already.
  EXPECT_EQ(client.Get("/api/v1/movies/1?wait-for=" + PositionAt(13).Encode()).status, 200);
  for (const char* target :
       {"/api/v1/movies/1?wait-for=", "/api/v1/top?wait-for=", "/api/v1/movies?wait-for="}) {
    RawClient waiting(port());
    waiting.Send(absl::StrCat("GET ", target, position, " HTTP/1.1\r\nHost: h\r\n\r\n"));
    // Others are served meanwhile.
    EXPECT_EQ(client.Get("/api/v1/movies/1").status, 200);
    if (std::string_view(target).starts_with("/api/v1/movies/1")) {
      Commit({.means = {MakeMean(1, 20, 6, 4000)}, .watermarks = {WatermarkAt(21)}});
    }
    RawResponse response = waiting.Read();
    EXPECT_EQ(response.status, 200);
    EXPECT_THAT(response.body, HasSubstr("\"id\":1,\"title\":\"Heat\",\"year\":1995,\"genres\":["
                                         "\"Action\",\"Crime\"],\"count\":6"));
  }
}

TEST_F(ServerReadTest, WaitForIsLateAtItsDeadline) {
  RawClient client(port());
  client.Send("GET /api/v1/movies/1?timeout=500&wait-for=" + PositionAt(99).Encode() +
              " HTTP/1.1\r\nHost: h\r\n\r\n");
  RawResponse late = client.Read(false, TimePasses(absl::Milliseconds(100)));
  EXPECT_EQ(late.status, 504);
  EXPECT_THAT(late.body, HasSubstr("not-visible-yet"));
  // The connection goes on, and the position is not lost.
  Commit({.watermarks = {WatermarkAt(100)}});
  EXPECT_EQ(client.Get("/api/v1/movies/1?wait-for=" + PositionAt(99).Encode()).status, 200);
}

TEST_F(ServerReadTest, WaitForAPositionOfAnotherLogIsAConflict) {
  LogPosition other{.ratings_identity = "log-2", .through = {{0, domain::LogOffset(1)}}};
  EXPECT_EQ(RawClient(port()).Get("/api/v1/movies/1?wait-for=" + other.Encode()).status, 409);
}

TEST_F(ServerReadTest, HeadIsGetWithoutTheBody) {
  RawClient client(port());
  for (const char* target : {"/api/v1/movies/1", "/api/v1/top", "/livez", "/api/v1/movies/77"}) {
    client.Send(absl::StrCat("HEAD ", target, " HTTP/1.1\r\nHost: h\r\n\r\n"));
    RawResponse head = client.Read(true);
    RawResponse get = client.Get(target);
    EXPECT_EQ(head.status, get.status) << target;
    EXPECT_EQ(head.header("content-length"), std::to_string(get.body.size())) << target;
    EXPECT_EQ(head.header("etag"), get.header("etag")) << target;
  }
}

TEST_F(ServerReadTest, UnknownRoutesAndMethodsAreTold) {
  RawClient client(port());
  EXPECT_EQ(client.Get("/api/v1/film").status, 404);
  EXPECT_EQ(client.Get("/api/v1/movies/1/2").status, 404);
  EXPECT_EQ(client.Get("/api/v1/movies/").status, 404);
  EXPECT_THAT(client.Get("/").body, HasSubstr("unknown-route"));
  client.Send("DELETE /api/v1/movies/1 HTTP/1.1\r\nHost: h\r\n\r\n");
  RawResponse refused = client.Read();
  EXPECT_EQ(refused.status, 405);
  EXPECT_EQ(refused.header("allow"), "GET, HEAD");
  RawResponse get = client.Get("/api/v1/ratings");
  EXPECT_EQ(get.status, 405);
  EXPECT_EQ(get.header("allow"), "POST");
}

TEST_F(ServerReadTest, HealthLagVersionMetricsAndOpenApi) {
  RawClient client(port());
  EXPECT_EQ(client.Get("/readyz").status, 200);
  health_.SetNotReady("moviedatasink", "restoring \"x\"");
  RawResponse ready = client.Get("/readyz");
  EXPECT_EQ(ready.status, 503);
  EXPECT_EQ(boost::json::parse(ready.body).at("reasons").at("moviedatasink"), "restoring \"x\"");
  health_.SetReady("moviedatasink");
  EXPECT_EQ(client.Get("/readyz").status, 200);
  health_.Beat("moviedatasink");
  EXPECT_EQ(client.Get("/livez").status, 200);
  clock_.Advance(kLoopSilenceMax + absl::Seconds(1));
  EXPECT_EQ(client.Get("/livez").status, 503);
  health_.SetLag("moviedatasink",
                 {{"movies", 1, "moviedatasink", 5}, {"movies", 2, "moviedatasink", 7}});
  boost::json::value lag = boost::json::parse(client.Get("/lag").body);
  EXPECT_EQ(lag.at("records"), 12);
  EXPECT_EQ(lag.at("shards").at(1).at("shard"), 2);
  EXPECT_EQ(boost::json::parse(client.Get("/version").body).at("version"), "1.2.3");
  EXPECT_EQ(boost::json::parse(client.Get("/openapi.json").body).at("openapi"), "3.1.0");
  EXPECT_EQ(Metric("marquee_http_requests_total{route=\"/readyz\",status=\"503\"} "), 1);
  EXPECT_EQ(Metric("marquee_http_requests_total{route=\"/readyz\",status=\"200\"} "), 2);
  EXPECT_GE(Metric("marquee_http_request_duration_seconds_count{route=\"/livez\"} "), 2);
}

TEST_F(ServerReadTest, ProcessWithoutACatalogueSaysWhoServesIt) {
  server_.reset();
  parts_.catalogue = nullptr;
  parts_.intake = nullptr;
  StartServer();
  RawClient client(port());
  RawResponse movie = client.Get("/api/v1/movies/1");
  EXPECT_EQ(movie.status, 404);
  EXPECT_THAT(movie.body, HasSubstr("moviedatasink"));
  RawResponse post = client.Post("{}");
  EXPECT_EQ(post.status, 404);
  EXPECT_THAT(post.body, HasSubstr("ratingproducer"));
  EXPECT_EQ(client.Get("/livez").status, 200);
}

// While one thread commits, a client that reads a movie again and again never sees its ratings
// become fewer, nor a state of which count and sum disagree, whichever way it reads it.
TEST_F(ServerReadTest, MovieNeverGoesBackWhileItChanges) {
  std::atomic<bool> done = false;
  std::thread sink([&] {
    for (int64_t i = 1; i <= 400; ++i)
      Commit({.means = {MakeMean(1, 100 + i, static_cast<uint64_t>(2 + i), 4000)}});
    done = true;
  });
  std::vector<std::thread> clients;
  clients.reserve(3);
  for (int c = 0; c < 3; ++c) {
    clients.emplace_back([this, &done] {
      RawClient client(port());
      int64_t highest = 0;
      for (bool last = false; !last;) {
        last = done;
        for (const char* target :
             {"/api/v1/movies/1", "/api/v1/movies?sort=id&limit=1", "/api/v1/movies/1"}) {
          boost::json::value value = boost::json::parse(client.Get(target).body);
          if (value.as_object().contains("movies"))
            value = boost::json::value(value.at("movies").at(0));
          int64_t count = value.at("count").as_int64();
          EXPECT_GE(count, highest);
          if (count > 2) {
            EXPECT_EQ(value.at("sum_thousandths"), count * 4000);
          }
          highest = std::max(highest, count);
        }
      }
      EXPECT_EQ(highest, 402);
    });
  }
  sink.join();
  for (std::thread& client : clients) client.join();
}

}  // namespace
}  // namespace marquee::http
