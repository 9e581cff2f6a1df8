// What a connection reads, signs and hands on: frames in every shape, and requests that are not for it.
#include "signing/connection.h"

#include "service_fixture.h"

namespace tlskeep::test {
namespace {

constexpr std::size_t kMaxFrame = 65'536;  // PROTOCOL.md

const Bytes kHello = {0x83, 1, 0x65, 'h', 'e', 'l', 'l', 'o', 1};
const Bytes kAnswer = {0x83, 1, 0, 1};

using ConnectionTest = ServiceTest;

TEST_F(ConnectionTest, SignsWithEveryMechanism) {
  const TestKey& rsa = KeyOf(KeyKind::kRsa2048);
  const TestKey& p384 = KeyOf(KeyKind::kP384);
  const TestKey& ed25519 = KeyOf(KeyKind::kEd25519);
  std::vector<KeyDirectory::Entry> entries;
  for (const TestKey* key : {&rsa, &p384, &ed25519}) {
    entries.push_back({key->fingerprint, GeneralRules(key->kind), key->held});
  }
  directory_->Publish(kToken, kGate, kFarMs, entries);
  Client client = LogIn();
  const auto sign = [&](const TestKey& key, const char* mechanism, ByteView data,
                        const Bytes& parameter = NoParameter()) {
    client.peer.SendFrame(SignPayload(0xfedc'ba98, key.fingerprint, mechanism, data, parameter));
    const Answer answer = client.peer.ReadAnswer();
    EXPECT_EQ(answer.id, 0xfedc'ba98);
    EXPECT_EQ(answer.status, 0U);
    return answer.signature;
  };
  const Bytes message(1'000, 'm');
  const Bytes long_message(60'000, 'm');
  const Bytes digest = Sha("SHA384", message);
  EXPECT_TRUE(VerifyRsaPkcs(rsa.pair, "SHA384", message, sign(rsa, "RSA_PKCS", DigestInfo("SHA384", digest))));
  EXPECT_TRUE(VerifyRsaPss(rsa.pair, "SHA384", 48, message,
                           sign(rsa, "RSA_PKCS_PSS", digest, PssParameter("SHA-384", 48))));
  EXPECT_TRUE(VerifyRsaPss(rsa.pair, "SHA384", 0, message,
                           sign(rsa, "RSA_PKCS_PSS", digest, PssParameter("SHA-384", 0))));
  const Bytes block(256, 0x11);
  EXPECT_EQ(sign(rsa, "RSA_X_509", block), SignRsaRaw(rsa.pair, block));
  EXPECT_TRUE(VerifyEcdsa(p384.pair, digest, sign(p384, "ECDSA", digest)));
  EXPECT_TRUE(VerifyEddsa(ed25519.pair, message, sign(ed25519, "EDDSA", message)));
  EXPECT_TRUE(VerifyEddsa(ed25519.pair, long_message, sign(ed25519, "EDDSA", long_message)));
  EXPECT_TRUE(VerifyEddsa(ed25519.pair, {}, sign(ed25519, "EDDSA", {})));
  EXPECT_TRUE(owner_.Empty());
  EXPECT_EQ(directory_->TakeCounts(kToken), (SignatureCounts{1, 2, 1, 3, 1}));
  const auto counts = service_->latency().Counts();
  EXPECT_EQ(counts[0] + counts[1], 8U);
  EXPECT_GT(service_->latency().TotalMicroseconds(), 0);
}

TEST_F(ConnectionTest, HandsEverythingElseToTheOwner) {
  Client client = LogIn();
  const TestKey& other = KeyOf(KeyKind::kP384);  // not published
  const Bytes kPayloads[] = {
      kHello,
      {0},                                                           // no array
      {0xff},                                                        // no CBOR
      SignPayload(1, other.fingerprint, "ECDSA", Bytes(32)),         // an unknown key
      SignPayload(2, key_.fingerprint, "EDDSA", Bytes(32)),          // a mechanism of other keys
      SignPayload(3, key_.fingerprint, "ECDSA", Bytes(31)),          // what the policy does not admit
      SignPayload(4, key_.fingerprint, "ECDSA", Bytes(32), {{0}}),   // another parameter
      SignPayload(5, key_.fingerprint, "ECDSA", Bytes(65'000)),
  };
  for (const Bytes& payload : kPayloads) {
    client.peer.SendFrame(payload);
    ExpectRequest(client, payload);
    Of(client)->Send(kAnswer);
    Of(client)->Consumed();
    EXPECT_EQ(client.peer.Read(), kAnswer);
  }
  EXPECT_EQ(directory_->TakeCounts(kToken), SignatureCounts{});
  const auto counts = service_->latency().Counts();
  EXPECT_EQ(counts[0] + counts[1], 0U);
}

// The key itself refuses what the rules of its policy would admit.
TEST_F(ConnectionTest, HandsOnWhatTheKeyRefuses) {
  const TestKey& rsa = KeyOf(KeyKind::kRsa2048);
  directory_->Publish(kToken, kGate, kFarMs, {{rsa.fingerprint, GeneralRules(rsa.kind), rsa.held}});
  Client client = LogIn();
  const Bytes kPayloads[] = {
      SignPayload(1, rsa.fingerprint, "RSA_X_509", Bytes(256, 0xff)),
      SignPayload(2, rsa.fingerprint, "RSA_X_509", Bytes(255)),
      SignPayload(3, rsa.fingerprint, "RSA_PKCS_PSS", Bytes(32), PssParameter("SHA-256", 223)),
      SignPayload(4, rsa.fingerprint, "RSA_PKCS_PSS", Bytes(31), PssParameter("SHA-256", 32)),
  };
  for (const Bytes& payload : kPayloads) {
    client.peer.SendFrame(payload);
    ExpectRequest(client, payload);
    Of(client)->Consumed();
  }
  client.peer.SendFrame(SignPayload(5, rsa.fingerprint, "RSA_PKCS_PSS", Bytes(32), PssParameter("SHA-256", 222)));
  EXPECT_EQ(client.peer.ReadAnswer().status, 0U);
}

TEST_F(ConnectionTest, SignsForNobodyBeforeHelloAndLogin) {
  Client client = Connect();
  const Bytes payload = EcdsaPayload(1, key_);
  const auto expect_refused = [&] {
    client.peer.SendFrame(payload);
    ExpectRequest(client, payload);
    Of(client)->Consumed();
  };
  expect_refused();
  Of(client)->Prove(kGate);
  expect_refused();
  Client greeted = Connect();
  Of(greeted)->Greet();
  greeted.peer.SendFrame(payload);
  ExpectRequest(greeted, payload);
  Of(greeted)->Prove(kGate + 1);
  Of(greeted)->Consumed();
  greeted.peer.SendFrame(payload);
  ExpectRequest(greeted, payload);
  Of(greeted)->Prove(kGate);
  Of(greeted)->Consumed();
  SendSign(greeted.peer, 2);
  ExpectSignature(greeted.peer, 2);
  Of(client)->Greet();
  SendSign(client.peer, 3);
  ExpectSignature(client.peer, 3);
}

TEST_F(ConnectionTest, RemembersEachPinThatWasProved) {
  Client client = Connect();
  Of(client)->Greet();
  for (const std::uint32_t gate : {kGate + 3, kGate - 1, kGate + 1, kGate - 1, kGate, kGate + 3}) {
    Of(client)->Prove(gate);
  }
  std::uint32_t id = 0;
  for (const std::uint32_t gate : {kGate - 1, kGate, kGate + 1, kGate + 3}) {
    directory_->Publish(kToken, gate, kFarMs, {EntryFor(key_)});
    SendSign(client.peer, ++id);
    ExpectSignature(client.peer, id);
  }
  for (const std::uint32_t gate : {kGate - 2, kGate + 2, kGate + 4}) {
    directory_->Publish(kToken, gate, kFarMs, {EntryFor(key_)});
    const Bytes payload = EcdsaPayload(++id, key_);
    client.peer.SendFrame(payload);
    ExpectRequest(client, payload);
    Of(client)->Consumed();
  }
}

TEST_F(ConnectionTest, SignsNothingThatIsWithdrawnOrExpired) {
  Client client = LogIn();
  const Bytes payload = EcdsaPayload(1, key_);
  directory_->Withdraw(kToken);
  client.peer.SendFrame(payload);
  ExpectRequest(client, payload);
  Of(client)->Consumed();
  directory_->Publish(kToken, kGate, 1'000'000'000'000, {EntryFor(key_)});
  client.peer.SendFrame(payload);
  ExpectRequest(client, payload);
  Of(client)->Consumed();
  directory_->Publish(kToken, kGate, kFarMs, {EntryFor(key_)});
  SendSign(client.peer, 2);
  ExpectSignature(client.peer, 2);
}

TEST_F(ConnectionTest, ReadsFramesInPieces) {
  Client client = LogIn();
  const Bytes frame = Frame(EcdsaPayload(1, key_));
  for (const std::size_t size : {std::size_t{1}, std::size_t{3}, std::size_t{4}, std::size_t{5}, frame.size() - 1}) {
    SCOPED_TRACE(size);
    for (ByteView rest = frame; !rest.empty(); rest = rest.subspan(std::min(size, rest.size()))) {
      client.peer.Send(rest.first(std::min(size, rest.size())));
      client.peer.WaitUntilRead();
    }
    ExpectSignature(client.peer, 1);
  }
  EXPECT_TRUE(owner_.Empty());
}

TEST_F(ConnectionTest, ReadsAFrameThatEndsInThePieceWhereTheNextBegins) {
  Client client = LogIn();
  Bytes all;
  for (std::uint32_t id = 0; id < 40; ++id) {
    const Bytes frame = Frame(EcdsaPayload(id, key_));
    all.insert(all.end(), frame.begin(), frame.end());
  }
  const std::size_t size = all.size() / 40 + 7;
  for (ByteView rest = all; !rest.empty(); rest = rest.subspan(std::min(size, rest.size()))) {
    client.peer.Send(rest.first(std::min(size, rest.size())));
    client.peer.WaitUntilRead();
  }
  for (std::uint32_t id = 0; id < 40; ++id) ExpectSignature(client.peer, id);
}

TEST_F(ConnectionTest, ServesManyFramesOfOneWriteInTheirOrder) {
  Client client = LogIn();
  Bytes all;
  for (std::uint32_t id = 0; id < 600; ++id) {
    const Bytes frame = Frame(id % 100 == 50 ? kHello : EcdsaPayload(id, key_));
    all.insert(all.end(), frame.begin(), frame.end());
  }
  std::thread sender([&] { client.peer.Send(all); });
  for (std::uint32_t id = 0; id < 600; ++id) {
    if (id % 100 == 50) {
      ExpectRequest(client, kHello);
      Of(client)->Send(kAnswer);
      Of(client)->Consumed();
      EXPECT_EQ(client.peer.Read(), kAnswer);
    } else {
      ExpectSignature(client.peer, id);
    }
  }
  sender.join();
}

TEST_F(ConnectionTest, ReadsTheLargestFrame) {
  Client client = LogIn();
  for (const std::size_t size : {kMaxFrame - 1, kMaxFrame}) {
    Bytes payload(size, 0x81);
    client.peer.SendFrame(payload);
    SendSign(client.peer, 1);
    ExpectRequest(client, payload);
    Of(client)->Consumed();
    ExpectSignature(client.peer, 1);
  }
}

TEST_F(ConnectionTest, EndsAtAFrameThatIsTooLargeOrEmpty) {
  struct Case {
    Bytes header;
    EndReason reason;
  };
  const Case kCases[] = {{{0, 1, 0, 1}, EndReason::kFrameTooLarge},
                         {{0x80, 0, 0, 0}, EndReason::kFrameTooLarge},
                         {{0xff, 0xff, 0xff, 0xff}, EndReason::kFrameTooLarge},
                         {{0, 0, 0, 0}, EndReason::kFrameEmpty}};
  for (const Case& c : kCases) {
    Client client = LogIn();
    Bytes bytes = Frame(EcdsaPayload(1, key_));  // which is served before
    bytes.insert(bytes.end(), c.header.begin(), c.header.end());
    const Bytes behind = Frame(EcdsaPayload(2, key_));  // which is not
    bytes.insert(bytes.end(), behind.begin(), behind.end());
    client.peer.Send(bytes);
    ExpectSignature(client.peer, 1);
    ExpectEnd(client, c.reason);
    Of(client)->Consumed();
    Of(client)->Send(kAnswer);
    Of(client)->Close();
    EXPECT_EQ(client.peer.Read(), kAnswer);
    EXPECT_EQ(client.peer.Read(), std::nullopt);
    ExpectClosed(client);
  }
  EXPECT_TRUE(owner_.Empty());
}

TEST_F(ConnectionTest, AnswersAPeerThatHasEndedItsSide) {
  Client client = LogIn();
  for (std::uint32_t id = 0; id < 50; ++id) SendSign(client.peer, id);
  client.peer.EndSending();
  for (std::uint32_t id = 0; id < 50; ++id) ExpectSignature(client.peer, id);
  ExpectEnd(client, EndReason::kEnded);
  Of(client)->Send(kAnswer);
  EXPECT_EQ(client.peer.Read(), kAnswer);
  Of(client)->Close();
  EXPECT_EQ(client.peer.Read(), std::nullopt);
  ExpectClosed(client);
}

TEST_F(ConnectionTest, TellsAnEndInsideAFrame) {
  const Bytes frame = Frame(EcdsaPayload(1, key_));
  for (const std::size_t size : {std::size_t{1}, std::size_t{4}, frame.size() - 1}) {
    Client client = LogIn();
    client.peer.Send(ByteView(frame).first(size));
    client.peer.EndSending();
    ExpectEnd(client, EndReason::kFrameTruncated);
    Of(client)->Destroy();
    ExpectClosed(client);
  }
}

TEST_F(ConnectionTest, EndsWithAPeerThatHangsUp) {
  Client client = LogIn();
  SendSign(client.peer, 1);
  ExpectSignature(client.peer, 1);
  client.peer.HangUp();
  ExpectEnd(client, EndReason::kEnded);
  ExpectClosed(client);  // whatever the owner does
  EXPECT_TRUE(owner_.Empty());
}

TEST_F(ConnectionTest, EndsWithAPeerThatHangsUpOnItsAnswers) {
  Client client = LogIn();
  for (std::uint32_t id = 0; id < 50; ++id) SendSign(client.peer, id);
  client.peer.HangUp();
  Event event = owner_.Next();
  if (event.kind == Event::Kind::kEnd) event = owner_.Next();
  EXPECT_EQ(event.kind, Event::Kind::kClosed);
}

}  // namespace
}  // namespace tlskeep::test
