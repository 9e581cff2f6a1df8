// A client that asks one request right behind the other, whose thread waits for it without sleeping.
#include <thread>

#include "cpu_time.h"
#include "service_fixture.h"

namespace tlskeep::test {
namespace {

using namespace std::chrono_literals;

class BusyPollTest : public ServiceTest {
 protected:
  // Longer than any test: what ends a wait is never the clock.
  static constexpr auto kForever = std::chrono::duration_cast<std::chrono::microseconds>(1h);

  void SetUp() override {
    ServiceTest::SetUp();
    Start(2, kForever);
  }

  // Of the second on, each comes soon behind the one before.
  Client LogInAndAskInARow() {
    Client client = LogIn();
    AskInARow(client);
    return client;
  }
  void AskInARow(Client& client) {
    for (std::uint32_t id = 1; id <= 3; ++id) {
      SendSign(client.peer, id);
      ExpectSignature(client.peer, id);
    }
  }
};

TEST_F(BusyPollTest, AsksTheSocketUntilTheNextRequest) {
  Client client = LogIn();
  const auto until = std::chrono::steady_clock::now() + Patience();
  auto worked = 0ns;
  // The other thread may have yet to start.
  while (worked < 10ms && std::chrono::steady_clock::now() < until) {
    AskInARow(client);
    const auto before = CpuTime();
    std::this_thread::sleep_for(50ms);
    worked = CpuTime() - before;
  }
  EXPECT_GE(worked, 10ms);
  SendSign(client.peer, 4);
  ExpectSignature(client.peer, 4);
}

TEST_F(BusyPollTest, SleepsAfterARequestThatCameAlone) {
  Start(2, 0us);
  Client client = LogInAndAskInARow();
  const auto before = CpuTime();
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(CpuTime() - before, 100ms);
}

TEST_F(BusyPollTest, SleepsWhenNothingHasComeForAWhile) {
  Start(2, 20ms);
  Client client = LogInAndAskInARow();
  std::this_thread::sleep_for(100ms);
  const auto before = CpuTime();
  std::this_thread::sleep_for(200ms);
  EXPECT_LT(CpuTime() - before, 100ms);
  SendSign(client.peer, 4);
  ExpectSignature(client.peer, 4);
}

TEST_F(BusyPollTest, LeavesAThreadForTheOthers) {
  std::vector<Client> clients;
  for (int i = 0; i < 6; ++i) clients.push_back(LogInAndAskInARow());
  for (Client& client : clients) AskInARow(client);
  // All at once, more than there are threads.
  for (Client& client : clients) SendSign(client.peer, 9);
  for (Client& client : clients) ExpectSignature(client.peer, 9);
}

TEST_F(BusyPollTest, NeverKeepsTheOnlyThread) {
  Start(1, kForever);
  Client first = LogInAndAskInARow();
  Client second = LogInAndAskInARow();
  AskInARow(first);
  AskInARow(second);
}

TEST_F(BusyPollTest, EndsWithThePeer) {
  Client client = LogInAndAskInARow();
  client.peer.EndSending();
  ExpectEnd(client, EndReason::kEnded);
  Client gone = LogInAndAskInARow();
  gone.peer.HangUp();
  ExpectEnd(gone, EndReason::kEnded);
}

TEST_F(BusyPollTest, SeesWhatTheOwnerDoes) {
  Client closed = LogInAndAskInARow();
  Of(closed)->Close();
  ExpectClosed(closed);
  Client destroyed = LogInAndAskInARow();
  Of(destroyed)->Destroy();
  ExpectClosed(destroyed);
  Client paused = LogInAndAskInARow();
  Of(paused)->Pause();
  const auto connection = Of(paused);
  connection->Resume();
  AskInARow(paused);
}

TEST_F(BusyPollTest, HandsToTheOwnerWhatItDoesNotSign) {
  Client client = LogInAndAskInARow();
  const Bytes other = {0x83, 1, 0x65, 'h', 'e', 'l', 'l', 'o', 1};
  client.peer.SendFrame(other);
  ExpectRequest(client, other);
  Of(client)->Consumed();
  AskInARow(client);
}

TEST_F(BusyPollTest, EndsWithTheService) {
  const Client client = LogInAndAskInARow();
  const auto before = std::chrono::steady_clock::now();
  service_.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - before, Patience());
}

}  // namespace
}  // namespace tlskeep::test
