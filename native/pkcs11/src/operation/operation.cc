// Feeds hashes and keeps outputs.
#include "operation/operation.h"

#include <string.h>

namespace tlskeep {

Operation::~Operation() {
  // It may be a plaintext.
  if (output_ && !output_->empty()) explicit_bzero(output_->data(), output_->size());
}

void Operation::Update(ByteView data) {
  hash_->Update(data);
  multi_part_ = true;
}

ByteView Operation::SinglePart(ByteView data, Bytes& digest) {
  if (!hash_) return data;
  hash_->Update(data);
  return MultiPart(digest);
}

ByteView Operation::Output(Module& module, ByteView input) {
  if (!output_) output_ = Complete(module, input);
  return *output_;
}

}  // namespace tlskeep
