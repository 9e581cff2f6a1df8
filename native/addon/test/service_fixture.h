// A signing service with one published P-256 key, its owner in the test's hands.
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "peer.h"
#include "recording_owner.h"
#include "signing/signing_service.h"
#include "test_key.h"

namespace tlskeep::test {

inline constexpr std::uint32_t kToken = 1;
inline constexpr std::uint32_t kGate = 11;
// 2100: no lease ends while a test runs.
inline constexpr std::int64_t kFarMs = 4'102'444'800'000;

class ServiceTest : public testing::Test {
 protected:
  struct Client {
    Peer peer;
    ConnectionId id;
  };

  void SetUp() override {
    directory_->Publish(kToken, kGate, kFarMs, {EntryFor(key_)});
    Start(2);
  }

  void Start(unsigned threads, std::chrono::microseconds busy_poll = SigningService::kBusyPoll) {
    service_.reset();
    service_ = std::make_unique<SigningService>(
        directory_, std::vector<std::chrono::microseconds>{std::chrono::microseconds(1'000)}, threads, owner_,
        busy_poll);
  }

  // A connection that has said nothing yet.
  Client Connect() {
    auto [peer, fd] = Peer::Make();
    return {std::move(peer), service_->Adopt(std::move(fd))};
  }
  // One that has said hello, and has proved the PIN of the token.
  Client LogIn() {
    Client client = Connect();
    Of(client)->Greet();
    Of(client)->Prove(kGate);
    return client;
  }

  // @throws std::runtime_error once it has been forgotten
  std::shared_ptr<Connection> Of(const Client& client) const {
    auto connection = service_->Find(client.id);
    if (connection == nullptr) throw std::runtime_error("no such connection");
    return connection;
  }

  // The next event, which is of this kind and connection.
  Event Expect(Event::Kind kind, const Client& client) {
    Event event = owner_.Next();
    EXPECT_EQ(event.kind, kind);
    EXPECT_EQ(event.id, client.id);
    return event;
  }
  void ExpectRequest(const Client& client, const Bytes& payload) {
    EXPECT_EQ(Expect(Event::Kind::kRequest, client).payload, payload);
  }
  void ExpectEnd(const Client& client, EndReason reason) {
    EXPECT_EQ(Expect(Event::Kind::kEnd, client).reason, reason);
  }
  // As the event loop does.
  void ExpectClosed(const Client& client) {
    Expect(Event::Kind::kClosed, client);
    service_->Forget(client.id);
  }

  void ExpectSignature(Peer& peer, std::uint32_t id) const {
    const Answer answer = peer.ReadAnswer();
    EXPECT_EQ(answer.id, id);
    EXPECT_EQ(answer.status, 0U);
    EXPECT_TRUE(VerifyEcdsa(key_.pair, EcdsaData(id), answer.signature)) << id;
  }
  void SendSign(Peer& peer, std::uint32_t id) const { peer.SendFrame(EcdsaPayload(id, key_)); }

  const TestKey& key_ = KeyOf(KeyKind::kP256);
  const std::shared_ptr<KeyDirectory> directory_ = std::make_shared<KeyDirectory>();
  RecordingOwner owner_;
  std::unique_ptr<SigningService> service_;
};

}  // namespace tlskeep::test
