// Connections that are held back, by a peer that does not read or by their owner, and how they are closed.
#include <functional>
#include <thread>

#include "cpu_time.h"
#include "service_fixture.h"

namespace tlskeep::test {
namespace {

using namespace std::chrono_literals;

const Bytes kHello = {0x83, 1, 0x65, 'h', 'e', 'l', 'l', 'o', 1};

class HoldTest : public ServiceTest {
 protected:
  // One thread takes connections in the order in which they became ready.
  void SetUp() override {
    ServiceTest::SetUp();
    Start(1);
    fence_ = std::make_unique<Client>(LogIn());
  }

  // Returns when what became ready before has had its turn.
  void Fence() {
    SendSign(fence_->peer, 99);
    ExpectSignature(fence_->peer, 99);
  }

  std::unique_ptr<Client> fence_;
};

// Four times what both buffers of a socket pair hold.
constexpr std::size_t kFarMoreThanBuffered = 4'000'000;

// Sends whole frames until nobody takes them; what stays of the last is returned.
Bytes SendUntilFull(Peer& peer, const std::function<Bytes()>& next) {
  std::size_t sent = 0;
  Bytes rest;
  while (sent < kFarMoreThanBuffered && (rest.empty() || peer.HasRoom())) {
    if (rest.empty()) rest = next();
    const std::size_t taken = peer.TrySend(rest);
    sent += taken;
    rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(taken));
  }
  EXPECT_LT(sent, kFarMoreThanBuffered) << "all of it has been read";
  return rest;
}

TEST_F(HoldTest, ReadsNothingMoreFromAPeerThatDoesNotRead) {
  Client client = LogIn();
  std::uint32_t asked = 0;
  const Bytes rest = SendUntilFull(client.peer, [&] {
    Bytes frames;
    for (int i = 0; i < 100; ++i) {
      const Bytes frame = Frame(EcdsaPayload(asked++, key_));
      frames.insert(frames.end(), frame.begin(), frame.end());
    }
    return frames;
  });
  Fence();  // others are served
  std::thread sender([&] { client.peer.Send(rest); });
  for (std::uint32_t id = 0; id < asked; ++id) {
    const Answer answer = client.peer.ReadAnswer();
    EXPECT_EQ(answer.id, id);
    EXPECT_EQ(answer.status, 0U);
  }
  sender.join();
  EXPECT_EQ(directory_->TakeCounts(kToken)[static_cast<std::size_t>(Mechanism::kEcdsa)], asked + 1);
}

TEST_F(HoldTest, ReadsNothingMoreWhileARequestIsWithTheOwner) {
  Client client = LogIn();
  std::uint32_t asked = 0;
  const Bytes rest = SendUntilFull(client.peer, [&] {
    ++asked;
    return Frame(Bytes(30'000, 0x81));
  });
  Expect(Event::Kind::kRequest, client);
  Fence();
  EXPECT_TRUE(owner_.Empty());
  std::thread sender([&] { client.peer.Send(rest); });
  for (std::uint32_t i = 1; i < asked; ++i) {
    Of(client)->Consumed();
    EXPECT_EQ(Expect(Event::Kind::kRequest, client).payload.size(), 30'000U);
  }
  sender.join();
}

TEST_F(HoldTest, ReadsNothingMoreWhileTheOwnersAnswersWait) {
  Client client = LogIn();
  const Bytes large(60'000, 7);
  constexpr int kAnswers = 20;
  for (int i = 0; i < kAnswers; ++i) Of(client)->Send(large);
  SendSign(client.peer, 1);
  Fence();
  EXPECT_GT(client.peer.Unread(), 0U);
  for (int i = 0; i < kAnswers; ++i) EXPECT_EQ(client.peer.Read(), large);
  ExpectSignature(client.peer, 1);
}

TEST_F(HoldTest, PausesAndResumes) {
  Client client = LogIn();
  Of(client)->Pause();
  Of(client)->Pause();
  SendSign(client.peer, 1);
  Fence();
  EXPECT_GT(client.peer.Unread(), 0U);
  Of(client)->Send(kHello);  // answers go out all the same
  EXPECT_EQ(client.peer.Read(), kHello);
  Fence();
  EXPECT_GT(client.peer.Unread(), 0U);
  Of(client)->Resume();
  ExpectSignature(client.peer, 1);
}

TEST_F(HoldTest, ResumesInTheMidstOfFramesThatHaveBeenRead) {
  Client client = LogIn();
  Bytes all = Frame(kHello);
  for (std::uint32_t id = 0; id < 100; ++id) {
    const Bytes frame = Frame(EcdsaPayload(id, key_));
    all.insert(all.end(), frame.begin(), frame.end());
  }
  client.peer.Send(all);
  Expect(Event::Kind::kRequest, client);
  Of(client)->Pause();
  Of(client)->Consumed();
  Fence();
  EXPECT_EQ(directory_->TakeCounts(kToken)[static_cast<std::size_t>(Mechanism::kEcdsa)], 1U);  // the fence's
  Of(client)->Resume();
  for (std::uint32_t id = 0; id < 100; ++id) ExpectSignature(client.peer, id);
}

TEST_F(HoldTest, KeepsARequestWithTheOwnerFromTheNextThroughAPause) {
  Client client = LogIn();
  client.peer.SendFrame(kHello);
  SendSign(client.peer, 1);
  Expect(Event::Kind::kRequest, client);
  Of(client)->Pause();
  Of(client)->Resume();
  Fence();
  EXPECT_EQ(directory_->TakeCounts(kToken)[static_cast<std::size_t>(Mechanism::kEcdsa)], 1U);
  Of(client)->Consumed();
  ExpectSignature(client.peer, 1);
}

TEST_F(HoldTest, IsClosedByAHangUpWhilePaused) {
  Client client = LogIn();
  Of(client)->Pause();
  SendSign(client.peer, 1);
  client.peer.HangUp();
  ExpectClosed(client);
}

TEST_F(HoldTest, IsClosedByAHangUpWhileARequestIsWithTheOwner) {
  Client client = LogIn();
  client.peer.SendFrame(kHello);
  SendSign(client.peer, 1);
  Expect(Event::Kind::kRequest, client);
  const auto connection = Of(client);
  client.peer.HangUp();
  ExpectClosed(client);
  connection->Send(kHello);  // nothing happens to it any more
  connection->Consumed();
  connection->Resume();
  connection->Close();
  connection->Destroy();
  EXPECT_TRUE(owner_.Empty());
}

TEST_F(HoldTest, IsClosedByAHangUpWhileAnswersWait) {
  Client client = LogIn();
  for (int i = 0; i < 20; ++i) Of(client)->Send(Bytes(60'000, 7));
  client.peer.HangUp();
  ExpectClosed(client);
}

TEST_F(HoldTest, ClosesWhenThePeerHasItsAnswers) {
  Client client = LogIn();
  const Bytes large(60'000, 7);
  constexpr int kAnswers = 20;
  for (int i = 0; i < kAnswers; ++i) Of(client)->Send(large);
  Of(client)->Close();
  Of(client)->Send(kHello);  // comes too late
  Fence();
  EXPECT_TRUE(owner_.Empty());
  for (int i = 0; i < kAnswers; ++i) EXPECT_EQ(client.peer.Read(), large);
  EXPECT_EQ(client.peer.Read(), std::nullopt);
  ExpectClosed(client);
}

TEST_F(HoldTest, ClosesAtOnceIfNothingWaits) {
  Client client = LogIn();
  Of(client)->Close();
  ExpectClosed(client);
  EXPECT_EQ(client.peer.Read(), std::nullopt);
  Client destroyed = LogIn();
  for (int i = 0; i < 20; ++i) Of(destroyed)->Send(Bytes(60'000, 7));
  Of(destroyed)->Destroy();
  ExpectClosed(destroyed);
}

TEST_F(HoldTest, IsDestroyedWhileAThreadSigns) {
  const TestKey& rsa = KeyOf(KeyKind::kRsa3072);
  directory_->Publish(2, kGate, kFarMs, {EntryFor(rsa)});
  const Bytes payload = SignPayload(1, rsa.fingerprint, "RSA_PKCS_PSS", Bytes(32), PssParameter("SHA-256", 32));
  Start(2);
  for (int i = 0; i < 20; ++i) {
    Client client = LogIn();
    for (int frames = 0; frames < 5; ++frames) client.peer.SendFrame(payload);
    client.peer.WaitUntilRead();
    Of(client)->Destroy();
    ExpectClosed(client);
    // What had been signed may have been sent.
    while (client.peer.Read()) continue;
  }
  EXPECT_TRUE(owner_.Empty());
}

// Everything that epoll reports of a connection whether or not it was asked for, and everything that is
// ready but not wanted.
TEST_F(HoldTest, TakesNoTimeWhileNothingCanBeDone) {
  Client paused = LogIn();
  Of(paused)->Pause();
  SendSign(paused.peer, 1);
  Client with_owner = LogIn();
  with_owner.peer.SendFrame(kHello);
  SendSign(with_owner.peer, 1);
  Expect(Event::Kind::kRequest, with_owner);
  with_owner.peer.EndSending();
  Client ended = LogIn();
  ended.peer.EndSending();
  ExpectEnd(ended, EndReason::kEnded);
  Client unread = LogIn();
  for (int i = 0; i < 20; ++i) Of(unread)->Send(Bytes(60'000, 7));
  SendSign(unread.peer, 1);
  unread.peer.EndSending();
  Fence();
  const auto before = CpuTime();
  std::this_thread::sleep_for(400ms);
  EXPECT_LT(CpuTime() - before, 50ms);
}

}  // namespace
}  // namespace tlskeep::test
