#include "error.h"

#include <bpf/libbpf.h>
#include <string.h>

#include <cstdarg>
#include <cstdio>

namespace podgate {
namespace {

constexpr size_t kLogLimit = 64 * 1024;
constexpr size_t kMessageLines = 8;

thread_local LibbpfLog* current_log = nullptr;

int Print(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (current_log == nullptr || level != LIBBPF_WARN) return 0;
  va_list measured;
  va_copy(measured, arguments);
  int length = vsnprintf(nullptr, 0, format, measured);
  va_end(measured);
  if (length <= 0) return 0;
  try {
    std::string text(static_cast<size_t>(length) + 1, '\0');
    vsnprintf(text.data(), text.size(), format, arguments);
    text.pop_back();
    current_log->Append(text);
  } catch (const std::bad_alloc&) {
    return 0;  // a lost log line; an exception must not unwind through libbpf's C frames
  }
  return length;
}

std::string TrimEnd(const std::string& text) {
  size_t end = text.find_last_not_of(" \n\r\t");
  return end == std::string::npos ? "" : text.substr(0, end + 1);
}

std::string LastLines(const std::string& text, size_t lines) {
  size_t start = text.size();
  for (size_t line = 0; line < lines && start != 0; line++) {
    size_t newline = text.rfind('\n', start - 1);
    if (newline == std::string::npos) return text;
    start = newline;
  }
  return start == 0 ? text : text.substr(start + 1);
}

template <typename ErrorType>
[[noreturn]] void FailArgument(Napi::Env env, const std::string& message) {
  auto error = ErrorType::New(env, message);
  error.Set("code", Napi::String::New(env, "ERR_INVALID_ARG"));
  throw error;
}

}  // namespace

LibbpfLog::LibbpfLog() { current_log = this; }
LibbpfLog::~LibbpfLog() { current_log = nullptr; }

void LibbpfLog::Append(const std::string& text) {
  text_ += text;
  if (text_.size() > kLogLimit) text_.erase(0, text_.size() - kLogLimit);
}

void CaptureLibbpfOutput() { libbpf_set_print(Print); }

std::string ErrnoName(int error) {
  if (error == 524) return "ENOTSUPP";
  // libbpf's own numbers. What a user can meet is a file that is no BPF object; the rest is told by the log.
  if (error == LIBBPF_ERRNO__FORMAT || error == LIBBPF_ERRNO__LIBELF) return "ENOEXEC";
  if (error >= __LIBBPF_ERRNO__START) return "LIBBPF_ERRNO_" + std::to_string(error);
  const char* name = strerrorname_np(error);
  return name == nullptr ? "errno " + std::to_string(error) : name;
}

Napi::Error MakeError(Napi::Env env, const std::string& operation, const std::string& code,
                      const std::string& detail) {
  std::string log = TrimEnd(detail);
  std::string message = operation + ": " + code;
  if (!log.empty()) message += ": " + LastLines(log, kMessageLines);
  auto error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.Set("operation", Napi::String::New(env, operation));
  if (!log.empty()) error.Set("log", Napi::String::New(env, log));
  return error;
}

void Fail(Napi::Env env, const std::string& operation, int error, const std::string& detail) {
  throw MakeError(env, operation, ErrnoName(error), detail);
}

void FailClosed(Napi::Env env, const std::string& operation) {
  throw MakeError(env, operation, "ERR_CLOSED", "this handle was closed before");
}

void FailType(Napi::Env env, const std::string& message) { FailArgument<Napi::TypeError>(env, message); }
void FailRange(Napi::Env env, const std::string& message) { FailArgument<Napi::RangeError>(env, message); }

}  // namespace podgate
