// How requests are framed, and what the server's limits do to those beyond them.
#include <gmock/gmock.h>

#include <thread>

#include "absl/strings/str_cat.h"
#include "http/server_world.h"

namespace marquee::http {
namespace {

using ::testing::HasSubstr;

constexpr char kLivez[] = "GET /livez HTTP/1.1\r\nHost: h\r\n\r\n";

class ServerFramingTest : public ServerWorld {};

TEST_F(ServerFramingTest, KeepsTheConnectionAndAnswersPipelinedRequestsInOrder) {
  StartServer();
  RawClient client(port());
  std::string requests;
  for (int i = 0; i < 500; ++i) {
    absl::StrAppend(&requests, "GET /api/v1/movies/", i + 1, i % 7 == 0 ? "?timeout=1" : "",
                    " HTTP/1.1\r\nHost: h\r\n\r\n",
                    i % 50 == 0 ? "GET /api/v1/top HTTP/1.1\r\nHost: h\r\n\r\n" : "");
  }
  // In pieces that end anywhere.
  std::thread sender([&] {
    for (size_t at = 0; at < requests.size(); at += 997)
      client.Send(std::string_view(requests).substr(at, 997));
  });
  for (int i = 0; i < 500; ++i) {
    RawResponse response = client.Read();
    ASSERT_EQ(response.status, i % 7 == 0 ? 400 : 404) << i;
    if (i % 7 != 0) {
      ASSERT_THAT(response.body, HasSubstr(absl::StrCat("no movie ", i + 1, "\"")));
    }
    if (i % 50 == 0) {
      ASSERT_EQ(client.Read().status, 200);
    }
  }
  sender.join();
}

TEST_F(ServerFramingTest, ClosesWhereAskedToAndSpeaksHttp10) {
  StartServer();
  RawClient close(port());
  close.Send("GET /livez HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(close.Read().header("connection"), "close");
  EXPECT_TRUE(close.ReadsEnd());
  RawClient old(port());
  old.Send("GET /livez HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.Read().status, 200);
  EXPECT_TRUE(old.ReadsEnd());
  RawClient kept(port());
  kept.Send("GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(kept.Read().header("connection"), "keep-alive");
  kept.Send(kLivez);
  EXPECT_EQ(kept.Read().status, 200);
}

TEST_F(ServerFramingTest, ClientThatStopsSendingGetsItsAnswers) {
  StartServer();
  RawClient client(port());
  client.Send(std::string(kLivez) + kLivez);
  client.ShutdownSend();
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_EQ(client.Read().status, 200);
  EXPECT_TRUE(client.ReadsEnd());
}

// Each could be read as one request by us and as another by a proxy before us.
TEST_F(ServerFramingTest, RequestsThatCouldBeReadInTwoWaysAreRefusedAndTheConnectionClosed) {
  StartServer();
  const std::string post =
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n";
  const std::string smuggled = "\r\n\r\n0\r\n\r\nGET /livez HTTP/1.1\r\nHost: h\r\n\r\n";
  for (const std::string& request : {
           post + "Content-Length: 5\r\nTransfer-Encoding: chunked" + smuggled,
           post + "Transfer-Encoding: chunked\r\nContent-Length: 5" + smuggled,
           post + "Transfer-Encoding: xchunked" + smuggled,
           post + "Transfer-Encoding: chunked, identity" + smuggled,
           post + "Transfer-Encoding: gzip, chunked" + smuggled,
           post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity" + smuggled,
           post + "Transfer-Encoding:\r\n chunked" + smuggled,
           post + "Transfer-Encoding : chunked" + smuggled,
           post + "Content-Length: 5\r\nContent-Length: 6" + smuggled,
           post + "Content-Length: 5\r\nContent-Length: 5" + smuggled,
           post + "Content-Length: 5, 5" + smuggled,
           post + "Content-Length: +5" + smuggled,
           post + "Content-Length: 0x5" + smuggled,
           post + "Content-Length: -1" + smuggled,
           post + "Content-Length: 99999999999999999999999" + smuggled,
           std::string("POST /api/v1/ratings HTTP/1.0\r\nTransfer-Encoding: chunked") + smuggled,
           std::string("GET /livez HTTP/1.1\r\nHost: a\r\nHost: b") + smuggled,
           std::string("GET /livez HTTP/1.1") + smuggled,
           std::string("GET /livez HTTP/1.1\r\nHost: h\r\nX: a\r\n b") + smuggled,
           std::string("GET /livez HTTP/1.1\r\nHost: h\r\nX\n: b") + smuggled,
           std::string("GET  /livez HTTP/1.1\r\nHost: h") + smuggled,
           std::string("GET /livez\r\nHost: h") + smuggled,
           std::string("G@T /livez HTTP/1.1\r\nHost: h") + smuggled,
           std::string("GET /li\x01vez HTTP/1.1\r\nHost: h") + smuggled,
       }) {
    RawClient client(port());
    client.Send(request);
    RawResponse response = client.Read();
    EXPECT_EQ(response.status, 400) << request;
    EXPECT_EQ(response.header("connection"), "close") << request;
    EXPECT_TRUE(client.ReadsEnd()) << request;
  }
  RawClient version(port());
  version.Send("GET /livez HTTP/2.0\r\nHost: h\r\n\r\n");
  EXPECT_EQ(version.Read().status, 505);
}

TEST_F(ServerFramingTest, LongHeaderAndLongTargetHaveStatusesOfTheirOwn) {
  options_.header_bytes_max = 16 << 10;
  StartServer();
  RawClient header(port());
  header.Send(
      absl::StrCat("GET /livez HTTP/1.1\r\nHost: h\r\nX: ", std::string(20'000, 'x'), "\r\n\r\n"));
  EXPECT_EQ(header.Read().status, 431);
  RawClient endless(port());
  endless.Send(absl::StrCat("GET /livez HTTP/1.1\r\nHost: h\r\nX: ", std::string(20'000, 'x')));
  EXPECT_EQ(endless.Read().status, 431);
  for (size_t length : {9'000, 20'000, 100'000}) {
    RawClient target(port());
    target.Send(absl::StrCat("GET /", std::string(length, 'a'), " HTTP/1.1\r\nHost: h\r\n\r\n"));
    EXPECT_EQ(target.Read().status, 414) << length;
    EXPECT_TRUE(target.ReadsEnd());
  }
}

TEST_F(ServerFramingTest, SlowHeaderAndSlowBodyAreTimedOut) {
  StartServer();
  RawClient header(port());
  header.Send("GET /livez HT");
  EXPECT_EQ(header.Read(false, TimePasses(absl::Seconds(3))).status, 408);
  EXPECT_TRUE(header.ReadsEnd(TimePasses(absl::Seconds(3))));
  RawClient body(port());
  body.Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/json\r\nContent-Length: 50\r\n\r\n{");
  RawResponse response = body.Read(false, TimePasses(absl::Seconds(5)));
  EXPECT_EQ(response.status, 408);
  EXPECT_THAT(response.body, HasSubstr("body"));
}

TEST_F(ServerFramingTest, TrickleDoesNotProlongTheTimeForTheHeader) {
  StartServer();
  RawClient client(port());
  client.Send("GET /livez HTTP/1.1\r\nHost: h\r\n");
  RawResponse response = client.Read(false, [&] {
    client.Send("X: y\r\n");
    clock_.Advance(absl::Seconds(1));
  });
  EXPECT_EQ(response.status, 408);
}

TEST_F(ServerFramingTest, IdleConnectionIsClosedWithoutAWord) {
  options_.idle_timeout = absl::Seconds(60);
  StartServer();
  RawClient client(port());
  EXPECT_EQ(client.Get("/livez").status, 200);
  EXPECT_TRUE(client.ReadsEnd(TimePasses(absl::Seconds(10))));
}

TEST_F(ServerFramingTest, TooManyConnectionsAreToldSoAndOthersGoOn) {
  options_.connections_max = 3;
  StartServer();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<RawClient>(port()));
    ASSERT_EQ(clients.back()->Get("/livez").status, 200);
  }
  {
    RawClient refused(port());
    RawResponse response = refused.Read();
    EXPECT_EQ(response.status, 503);
    EXPECT_EQ(response.header("retry-after"), "1");
    EXPECT_TRUE(refused.ReadsEnd());
  }
  EXPECT_EQ(clients[1]->Get("/livez").status, 200);
  clients.pop_back();
  // The place is free as soon as the server has seen the end of the connection.
  for (int status = 503; status != 200;) {
    RawClient next(port());
    status = next.Get("/livez").status;
  }
}

TEST_F(ServerFramingTest, ThousandIdleConnectionsDoNotHinderOthers) {
  StartServer();
  std::vector<std::unique_ptr<RawClient>> idle;
  idle.reserve(900);
  for (int i = 0; i < 900; ++i) idle.push_back(std::make_unique<RawClient>(port()));
  RawClient client(port());
  for (int i = 0; i < 100; ++i) ASSERT_EQ(client.Get("/livez").status, 200);
  EXPECT_GE(Metric("marquee_http_connections "), 901);
}

TEST_F(ServerFramingTest, StopAnswersWhatIsUnderWayAndClosesTheRest) {
  StartServer();
  RawClient idle(port());
  auto posting = std::make_unique<RawClient>(port());
  ASSERT_EQ(idle.Get("/livez").status, 200);
  posting->Send(
      "POST /api/v1/ratings HTTP/1.1\r\nHost: h\r\nContent-Type: "
      "application/json\r\nContent-Length: 37\r\n\r\n"
      "{\"user_id\":1,\"movie_id\":2,\"rating\":4}");
  TestIntake::Request request = intake_.Take();
  std::thread stopping([this] { server_->Stop(absl::Seconds(60)); });
  EXPECT_TRUE(idle.ReadsEnd());
  request.done(PositionAt(3));
  RawResponse response = posting->Read();
  EXPECT_EQ(response.status, 202);
  EXPECT_EQ(response.header("connection"), "close");
  EXPECT_TRUE(posting->ReadsEnd());
  posting.reset();
  stopping.join();
}

TEST_F(ServerFramingTest, PortInUseAndWrongAddressAreNamed) {
  StartServer();
  ServerOptions options = options_;
  options.port = port();
  auto second = Server::Start(options, parts_);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(std::to_string(port())));
  options.address = "300.1.2.3";
  EXPECT_EQ(Server::Start(options, parts_).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace marquee::http
