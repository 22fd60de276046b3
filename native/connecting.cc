#include "connecting.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include "address.h"
#include "arguments.h"
#include "descriptors.h"
#include "error.h"

namespace podgate {
namespace {

constexpr const char* kOperation = "connect";
constexpr uint32_t kLongestTimeout = 0x7fffffff;

}  // namespace

Napi::Function Connecting::Define(Napi::Env env) {
  return DefineClass(env, "Connecting", {InstanceMethod<&Connecting::Close>("close")});
}

Connecting::Connecting(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  int fd = DescriptorArgument(info, 0);
  const uint8_t* address = ExactBytesArgument(info, 1, "address", kAddressLength);
  uint16_t port = static_cast<uint16_t>(IntegerOf(info[2], "port", 0, 65535));
  uint32_t timeout = IntegerOf(info[3], "timeoutMs", 1, kLongestTimeout);
  done_ = std::make_unique<Callback>(env, "podgate.connectTcp", FunctionArgument(info, 4, "done"));
  int error = 0;
  timer_ = Timer::Make(env, [this] { Finish(pending_ ? ETIMEDOUT : result_); }, [this] { Release(); }, &error);
  if (timer_ == nullptr) Fail(env, kOperation, error);
  result_ = Begin(fd, address, port, &pending_);
  if (pending_) {
    result_ = Watch(env);
    pending_ = result_ == 0;
  }
  // What is known already is told in the loop's next turn too, so that `done` never runs before the return.
  timer_->Start(pending_ ? timeout : 0);
  // A connect is in use even when JavaScript holds no reference to it.
  ObjectWrap::Ref();
}

Connecting::~Connecting() { Release(); }

// On a descriptor of our own: the caller may close its own, and its number may then be another file's.
int Connecting::Begin(int fd, const uint8_t* address, uint16_t port, bool* pending) {
  int family = 0;
  if (int error = CheckTcp(fd, &family)) return error;
  fd_ = UniqueFd::Duplicate(fd);
  if (!fd_.Valid()) return errno;
  int flags = fcntl(fd_.Get(), F_GETFL);
  if (flags < 0) return errno;
  if ((flags & O_NONBLOCK) == 0 && fcntl(fd_.Get(), F_SETFL, flags | O_NONBLOCK) != 0) return errno;
  struct sockaddr_storage to;
  socklen_t length = SocketAddress(family, address, port, &to);
  if (length == 0) return EAFNOSUPPORT;
  if (connect(fd_.Get(), reinterpret_cast<struct sockaddr*>(&to), length) == 0) return 0;
  if (errno != EINPROGRESS && errno != EINTR) return errno;
  // A peer on this machine has answered by now, and needs nobody to watch for it.
  struct pollfd answer = {fd_.Get(), POLLOUT, 0};
  *pending = poll(&answer, 1, 0) != 1;
  return *pending ? 0 : SocketError();
}

int Connecting::SocketError() const {
  int error = 0;
  socklen_t size = sizeof(error);
  return getsockopt(fd_.Get(), SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

int Connecting::Watch(Napi::Env env) {
  PollerEvents events;
  events.ready = [this] { Decide(0); };
  events.failed = [this](int error) { Decide(error); };
  events.teardown = [this] { Release(); };
  int error = 0;
  poller_ = Poller::Start(env, fd_.Get(), Poller::Wait::kWritable, std::move(events), &error);
  return error;
}

// A refused connect is a poll error to libuv; the socket knows which.
void Connecting::Decide(int poll_error) {
  int error = SocketError();
  Finish(error == 0 ? poll_error : error);
}

void Connecting::Finish(int error) {
  Release();
  ObjectWrap::Unref();
  // The function may refer to this object, which would then keep itself alive.
  std::unique_ptr<Callback> done = std::move(done_);
  done->Call([=](Napi::Env env) -> std::vector<napi_value> {
    if (error == 0) return {};
    return {MakeError(env, kOperation, ErrnoName(error)).Value()};
  });
}

void Connecting::Close(const Napi::CallbackInfo&) {
  if (timer_ == nullptr) return;
  Release();
  ObjectWrap::Unref();
  done_ = nullptr;
}

// Also runs while the environment ends, so it must not touch JavaScript.
void Connecting::Release() {
  if (poller_ != nullptr) poller_->Stop();
  if (timer_ != nullptr) timer_->Stop();
  poller_ = nullptr;
  timer_ = nullptr;
  fd_.Reset();
}

}  // namespace podgate
