// Writer and strict reader for the CBOR subset of PROTOCOL.md: integers of 53 bits, byte and text
// strings, arrays, maps with text keys, false, true, null; definite lengths, no tags, no floats.
//
// Written by hand rather than taken from a library: the subset is smaller than the checks that would
// have to stand in front of a general decoder (indefinite lengths, tags, floats, depth), and a pull
// reader builds nothing from an announced length: every length is held against the bytes that are there.
#pragma once

#include <string_view>

#include "wire/bytes.h"

namespace tlskeep {

class CborWriter {
 public:
  CborWriter() = default;
  // Leaves `room` bytes of zeros in front, and takes memory for `expected` bytes at once.
  CborWriter(std::size_t room, std::size_t expected) {
    out_.reserve(room + expected);
    out_.resize(room);
  }

  void Array(std::size_t count) { Head(4, count); }
  void Map(std::size_t pairs) { Head(5, pairs); }
  void Unsigned(std::uint64_t value) { Head(0, value); }
  void Text(std::string_view text);
  void ByteString(ByteView bytes);
  void Null() { out_.push_back(0xf6); }
  // The head alone of a text string of `size` bytes; the caller adds the content elsewhere.
  void TextHead(std::size_t size) { Head(3, size); }

  ByteView view() const { return out_; }
  Bytes Take() && { return std::move(out_); }

 private:
  void Head(std::uint8_t major, std::uint64_t value);

  Bytes out_;
};

// Reads items in order. Views into the input stay valid as long as the input does.
// @throws TransportError for anything that is not the item asked for, or not of the subset.
class CborReader {
 public:
  static constexpr int kDeepest = 8;

  explicit CborReader(ByteView input) : input_(input) {}

  std::size_t Array();  // number of elements
  std::size_t Map();    // number of key and value pairs
  std::uint64_t Unsigned();
  std::string_view Text();  // valid UTF-8
  ByteView ByteString();
  void Null();
  // Passes over one item of any kind, `depth` levels down.
  void Skip(int depth);
  bool AtEnd() const { return position_ == input_.size(); }

 private:
  struct Head {
    std::uint8_t major;
    std::uint64_t value;
  };
  Head ReadHead();
  std::uint64_t Expect(std::uint8_t major);
  ByteView Take(std::uint64_t size);
  std::size_t Count(std::uint64_t announced, std::size_t smallest_item) const;

  ByteView input_;
  std::size_t position_ = 0;
};

bool IsUtf8(ByteView bytes);

}  // namespace tlskeep
