#include "arguments.h"

#include <limits.h>

#include <cmath>

namespace podgate {
namespace {

constexpr size_t kNameLimit = 256;

// Measured before it is copied: a hostile string may be half a gigabyte.
std::string TextArgument(const Napi::CallbackInfo& info, size_t index, const char* name, size_t limit) {
  Napi::Env env = info.Env();
  Napi::Value value = info[index];
  if (!value.IsString()) FailType(env, std::string(name) + " must be a string");
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, nullptr, 0, &length) != napi_ok) throw Napi::Error::New(env);
  if (length == 0) FailRange(env, std::string(name) + " must not be empty");
  if (length >= limit) {
    FailRange(env, std::string(name) + " must be shorter than " + std::to_string(limit) + " bytes");
  }
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') != std::string::npos) FailRange(env, std::string(name) + " must not contain NUL");
  return text;
}

}  // namespace

std::string PathArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return TextArgument(info, index, name, PATH_MAX);
}

std::string NameArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return TextArgument(info, index, name, kNameLimit);
}

uint32_t IntegerOf(const Napi::Value& value, const char* name, uint32_t least, uint32_t most) {
  Napi::Env env = value.Env();
  if (!value.IsNumber()) FailType(env, std::string(name) + " must be a number");
  double number = value.As<Napi::Number>().DoubleValue();
  // Written so that NaN fails too.
  if (!(number >= least && number <= most) || std::floor(number) != number) {
    FailRange(env, std::string(name) + " must be an integer from " + std::to_string(least) + " to " +
                       std::to_string(most));
  }
  return static_cast<uint32_t>(number);
}

Napi::Function FunctionArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return FunctionOf(info[index], name);
}

Napi::Function FunctionOf(const Napi::Value& value, const char* name) {
  if (!value.IsFunction()) FailType(value.Env(), std::string(name) + " must be a function");
  return value.As<Napi::Function>();
}

Bytes BytesArgument(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return BytesOf(info[index], name);
}

Bytes BytesOf(const Napi::Value& value, const char* name) {
  Napi::Env env = value.Env();
  if (!value.IsTypedArray()) FailType(env, std::string(name) + " must be a Uint8Array");
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  napi_status status = napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok) throw Napi::Error::New(env);
  if (type != napi_uint8_array) FailType(env, std::string(name) + " must be a Uint8Array");
  return {static_cast<const uint8_t*>(data), length};
}

std::vector<uint64_t> BigIntsOf(const Napi::Value& value, const char* name, size_t most) {
  Napi::Env env = value.Env();
  napi_typedarray_type type = napi_int8_array;
  size_t length = 0;
  void* data = nullptr;
  if (value.IsTypedArray()) {
    napi_status status = napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr);
    if (status != napi_ok) throw Napi::Error::New(env);
  }
  if (type != napi_biguint64_array) FailType(env, std::string(name) + " must be a BigUint64Array");
  if (length > most) FailRange(env, std::string(name) + " must not be more than " + std::to_string(most));
  const uint64_t* numbers = static_cast<const uint64_t*>(data);
  return std::vector<uint64_t>(numbers, numbers + length);
}

const uint8_t* ExactBytesArgument(const Napi::CallbackInfo& info, size_t index, const char* name, size_t length) {
  return ExactBytesOf(info[index], name, length);
}

const uint8_t* ExactBytesOf(const Napi::Value& value, const char* name, size_t length) {
  Bytes bytes = BytesOf(value, name);
  if (bytes.length != length) {
    FailRange(value.Env(), std::string(name) + " must have " + std::to_string(length) + " bytes, not " +
                               std::to_string(bytes.length));
  }
  return bytes.data;
}

}  // namespace podgate
