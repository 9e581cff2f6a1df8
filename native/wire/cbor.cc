// RFC 8949, the subset that PROTOCOL.md allows.
#include "wire/cbor.h"

#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::uint8_t kUnsigned = 0;
constexpr std::uint8_t kNegative = 1;
constexpr std::uint8_t kByteString = 2;
constexpr std::uint8_t kText = 3;
constexpr std::uint8_t kArray = 4;
constexpr std::uint8_t kMap = 5;
constexpr std::uint8_t kSimple = 7;
constexpr std::uint64_t kSimpleFalse = 20;
constexpr std::uint64_t kSimpleNull = 22;
constexpr std::uint64_t kLargestInteger = (std::uint64_t{1} << 53) - 1;

[[noreturn]] void Malformed(const char* what) { throw TransportError(std::string("malformed answer: ") + what); }

}  // namespace

void CborWriter::Head(std::uint8_t major, std::uint64_t value) {
  const auto type = static_cast<std::uint8_t>(major << 5);
  int following = 0;
  if (value < 24) {
    out_.push_back(static_cast<std::uint8_t>(type | value));
  } else if (value <= 0xff) {
    out_.push_back(type | 24);
    following = 1;
  } else if (value <= 0xffff) {
    out_.push_back(type | 25);
    following = 2;
  } else if (value <= 0xffff'ffff) {
    out_.push_back(type | 26);
    following = 4;
  } else {
    out_.push_back(type | 27);
    following = 8;
  }
  for (int shift = (following - 1) * 8; shift >= 0; shift -= 8) {
    out_.push_back(static_cast<std::uint8_t>(value >> shift));
  }
}

void CborWriter::Text(std::string_view text) {
  Head(kText, text.size());
  const ByteView bytes = AsBytes(text);
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

void CborWriter::ByteString(ByteView bytes) {
  Head(kByteString, bytes.size());
  out_.insert(out_.end(), bytes.begin(), bytes.end());
}

ByteView CborReader::Take(std::uint64_t size) {
  if (size > input_.size() - position_) Malformed("an item is longer than the frame");
  const ByteView taken = input_.subspan(position_, static_cast<std::size_t>(size));
  position_ += taken.size();
  return taken;
}

CborReader::Head CborReader::ReadHead() {
  const std::uint8_t initial = Take(1)[0];
  const auto major = static_cast<std::uint8_t>(initial >> 5);
  const std::uint8_t info = initial & 0x1f;
  if (info < 24) return {major, info};
  // 24 to 27 announce 1, 2, 4 or 8 bytes; the rest is reserved or an indefinite length.
  if (info > 27) Malformed("indefinite length");
  if (major == kSimple) Malformed("floating point or an unknown simple value");
  std::uint64_t value = 0;
  for (const std::uint8_t byte : Take(std::uint64_t{1} << (info - 24))) value = value << 8 | byte;
  return {major, value};
}

std::uint64_t CborReader::Expect(std::uint8_t major) {
  const Head head = ReadHead();
  if (head.major != major) Malformed("an item of another type");
  return head.value;
}

std::size_t CborReader::Count(std::uint64_t announced, std::size_t smallest_item) const {
  if (announced > (input_.size() - position_) / smallest_item) Malformed("more elements than the frame holds");
  return static_cast<std::size_t>(announced);
}

std::size_t CborReader::Array() { return Count(Expect(kArray), 1); }

std::size_t CborReader::Map() { return Count(Expect(kMap), 2); }

std::uint64_t CborReader::Unsigned() {
  const std::uint64_t value = Expect(kUnsigned);
  if (value > kLargestInteger) Malformed("an integer beyond 53 bits");
  return value;
}

std::string_view CborReader::Text() {
  const ByteView bytes = Take(Expect(kText));
  if (!IsUtf8(bytes)) Malformed("text that is not UTF-8");
  return AsText(bytes);
}

ByteView CborReader::ByteString() { return Take(Expect(kByteString)); }

void CborReader::Null() {
  if (Expect(kSimple) != kSimpleNull) Malformed("an item that is not null");
}

void CborReader::Skip(int depth) {
  if (depth > kDeepest) Malformed("nested too deep");
  const Head head = ReadHead();
  switch (head.major) {
    case kUnsigned:
    case kNegative:
      if (head.value > kLargestInteger) Malformed("an integer beyond 53 bits");
      return;
    case kByteString:
      Take(head.value);
      return;
    case kText:
      if (!IsUtf8(Take(head.value))) Malformed("text that is not UTF-8");
      return;
    case kArray:
      for (std::size_t left = Count(head.value, 1); left > 0; --left) Skip(depth + 1);
      return;
    case kMap:
      for (std::size_t left = Count(head.value, 2); left > 0; --left) {
        Text();
        Skip(depth + 1);
      }
      return;
    case kSimple:
      if (head.value >= kSimpleFalse && head.value <= kSimpleNull) return;
      [[fallthrough]];
    default:
      Malformed("a tag or an unknown simple value");
  }
}

bool IsUtf8(ByteView bytes) {
  for (std::size_t i = 0; i < bytes.size();) {
    const std::uint8_t lead = bytes[i++];
    if (lead < 0x80) continue;
    // Continuation bytes to come, and the range of the first (no overlong forms, surrogates or > U+10FFFF).
    std::size_t more = 0;
    std::uint8_t low = 0x80;
    std::uint8_t high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf) {
      more = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
      more = 2;
      if (lead == 0xe0) low = 0xa0;
      if (lead == 0xed) high = 0x9f;
    } else if (lead >= 0xf0 && lead <= 0xf4) {
      more = 3;
      if (lead == 0xf0) low = 0x90;
      if (lead == 0xf4) high = 0x8f;
    } else {
      return false;
    }
    for (; more > 0; --more) {
      if (i == bytes.size() || bytes[i] < low || bytes[i] > high) return false;
      ++i;
      low = 0x80;
      high = 0xbf;
    }
  }
  return true;
}

}  // namespace tlskeep
