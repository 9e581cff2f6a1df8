// How the fake enclave misbehaves.
#include <sys/socket.h>

#include "fake_enclave.h"
#include "fake_wire.h"

namespace tlskeep::test {

const char* FaultName(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "None";
    case Fault::kGarbage:
      return "Garbage";
    case Fault::kClose:
      return "Close";
    case Fault::kCloseMidFrame:
      return "CloseMidFrame";
    case Fault::kOversized:
      return "Oversized";
    case Fault::kEmptyFrame:
      return "EmptyFrame";
    case Fault::kWrongId:
      return "WrongId";
    case Fault::kTrailing:
      return "Trailing";
    case Fault::kDeep:
      return "Deep";
    case Fault::kHugeArray:
      return "HugeArray";
    case Fault::kBusy:
      return "Busy";
    case Fault::kSilent:
      return "Silent";
  }
  return "Unknown";
}

void FakeEnclave::HoldSignatures(bool hold) {
  {
    const std::lock_guard lock(hold_mutex_);
    held_ = hold;
  }
  released_.notify_all();
}

void FakeEnclave::WaitWhileHeld() {
  std::unique_lock lock(hold_mutex_);
  released_.wait(lock, [this] { return !held_; });
}

void FakeEnclave::SendAnswer(int fd, const std::string& op, Bytes answer) {
  if (op == "sign") WaitWhileHeld();
  if ((op == "sign" || op == "decrypt") && delay_ms_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms_));
  Bytes frame = WithLength(answer);
  switch (NextFault()) {
    case Fault::kNone:
      break;
    case Fault::kGarbage:
      frame = WithLength(Bytes(answer.size(), 0xff));
      break;
    case Fault::kClose:
      shutdown(fd, SHUT_RDWR);
      return;
    case Fault::kCloseMidFrame:
      WriteAll(fd, ByteView(frame).first(frame.size() / 2));
      shutdown(fd, SHUT_RDWR);
      return;
    case Fault::kOversized:
      frame = {0x00, 0x01, 0x00, 0x01, 0x83};
      break;
    case Fault::kEmptyFrame:
      frame = {0, 0, 0, 0};
      break;
    case Fault::kWrongId: {
      CborWriter writer;
      writer.Array(3);
      writer.Unsigned(4'000'000'000);
      writer.Unsigned(0);
      writer.Null();
      frame = WithLength(writer.view());
      break;
    }
    case Fault::kTrailing:
      answer.push_back(0xf6);
      frame = WithLength(answer);
      break;
    case Fault::kDeep:
      frame = WithLength(Bytes(60'000, 0x81));
      break;
    case Fault::kHugeArray:
      frame = WithLength(Bytes{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
      break;
    case Fault::kBusy: {
      CborReader reader(answer);
      reader.Array();
      frame = WithLength(Refusal(reader.Unsigned(), kBusyStatus));
      break;
    }
    case Fault::kSilent:
      return;
  }
  WriteAll(fd, frame);
}

}  // namespace tlskeep::test
