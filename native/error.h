// How a failure reaches JavaScript: Error { code: "EPERM", operation: "attach connect4", log }.
#pragma once

#include <napi.h>

#include <string>

namespace podgate {

// Keeps what libbpf (and, through it, the verifier) says on this thread while this object lives. Not nestable.
class LibbpfLog {
 public:
  LibbpfLog();
  ~LibbpfLog();
  LibbpfLog(const LibbpfLog&) = delete;
  LibbpfLog& operator=(const LibbpfLog&) = delete;

  const std::string& Text() const { return text_; }
  // Called by libbpf's print hook. Only the end of a long log is kept: that is where the verifier says why.
  void Append(const std::string& text);

 private:
  std::string text_;
};

// Makes libbpf write to the living LibbpfLog instead of standard error. Once per process.
void CaptureLibbpfOutput();

// "EPERM" for 1. The kernel-internal 524, which BPF returns for a missing map operation, is "ENOTSUPP"; libbpf's
// numbers for a file that is no BPF object are "ENOEXEC".
std::string ErrnoName(int error);

// Throws an Error; `error` is a positive errno. The message is `operation: ERRNO[: last lines of detail]`.
[[noreturn]] void Fail(Napi::Env env, const std::string& operation, int error, const std::string& detail = "");

// As Fail, with the whole error to add properties to.
Napi::Error MakeError(Napi::Env env, const std::string& operation, const std::string& code,
                      const std::string& detail = "");

// Throws code ERR_CLOSED: the handle was closed before.
[[noreturn]] void FailClosed(Napi::Env env, const std::string& operation);

// Throws a TypeError or RangeError with code ERR_INVALID_ARG.
[[noreturn]] void FailType(Napi::Env env, const std::string& message);
[[noreturn]] void FailRange(Napi::Env env, const std::string& message);

}  // namespace podgate
