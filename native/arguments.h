// Reads and checks what JavaScript passes in. Everything here throws TypeError or RangeError, code ERR_INVALID_ARG.
#pragma once

#include <napi.h>

#include <string>
#include <vector>

#include "error.h"

namespace podgate {

// Borrowed from JavaScript: valid until the next call that can run JavaScript.
struct Bytes {
  const uint8_t* data;
  size_t length;
};

// A path without NUL that fits PATH_MAX.
std::string PathArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
// The name of a map, program, variable or tracepoint.
std::string NameArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
// An integer within [least, most].
uint32_t IntegerOf(const Napi::Value& value, const char* name, uint32_t least, uint32_t most);
Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
Napi::Function FunctionOf(const Napi::Value& value, const char* name);
// A Uint8Array (a Buffer is one); a detached one counts as empty.
Bytes BytesArgument(const Napi::CallbackInfo& info, size_t index, const char* name);
Bytes BytesOf(const Napi::Value& value, const char* name);
// As above, of exactly `length` bytes.
const uint8_t* ExactBytesArgument(const Napi::CallbackInfo& info, size_t index, const char* name, size_t length);
const uint8_t* ExactBytesOf(const Napi::Value& value, const char* name, size_t length);

// A BigUint64Array of at most that many, copied.
std::vector<uint64_t> BigIntsOf(const Napi::Value& value, const char* name, size_t most);

// An instance of our class T. The tag is checked, not the prototype chain, which JavaScript can rewrite.
template <typename T>
T* InstanceArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  Napi::Value value = info[index];
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&T::kTag)) {
    FailType(info.Env(), std::string(name) + " must be a " + T::kName);
  }
  return T::Unwrap(value.As<Napi::Object>());
}

}  // namespace podgate
