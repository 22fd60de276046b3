#include "pump.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <system_error>

#include "address.h"
#include "arguments.h"
#include "callback.h"
#include "claims.h"
#include "descriptors.h"
#include "error.h"

namespace podgate {
namespace {

constexpr uint32_t kMostThreads = 64;

int Option(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : -1;
}

// The positive errno that says why `fd` cannot be pumped, or 0.
int Unfit(int fd) {
  int type = Option(fd, SO_TYPE);
  if (type < 0) return errno;
  if (type != SOCK_STREAM || Option(fd, SO_PROTOCOL) != IPPROTO_TCP) return EPROTOTYPE;
  return Option(fd, SO_ACCEPTCONN) == 0 ? 0 : EINVAL;
}

Dial DialOf(const Napi::Value& value, int upstream, Napi::FunctionReference* on_connected) {
  Napi::Env env = value.Env();
  if (!value.IsObject()) FailType(env, "connect must be an object");
  Napi::Object way = value.As<Napi::Object>();
  Dial dial;
  uint16_t port = static_cast<uint16_t>(IntegerOf(way.Get("port"), "port", 0, 65535));
  dial.timeout_ms = IntegerOf(way.Get("timeoutMs"), "timeoutMs", 1, INT_MAX);
  *on_connected = Napi::Persistent(FunctionOf(way.Get("onConnected"), "onConnected"));
  // Last: whatever runs JavaScript could take the bytes away.
  const uint8_t* address = ExactBytesOf(way.Get("address"), "address", kAddressLength);
  int family = 0;
  if (int error = CheckTcp(upstream, &family)) Fail(env, "pump", error, "upstream is no TCP socket");
  dial.length = SocketAddress(family, address, port, &dial.to);
  if (dial.length == 0) Fail(env, "pump", EAFNOSUPPORT);
  return dial;
}

const char* NameOf(How how) {
  switch (how) {
    case How::kClosed:
      return "closed";
    case How::kIdle:
      return "idle";
    case How::kStopped:
      return "stopped";
    case How::kUnconnected:
      return "unconnected";
    default:
      return "reset";
  }
}

}  // namespace

Napi::Function Pump::Define(Napi::Env env) {
  return DefineClass(env, "Pump",
                     {InstanceMethod<&Pump::Start>("start"), InstanceMethod<&Pump::Stop>("stop"),
                      InstanceAccessor<&Pump::Size>("size"), InstanceMethod<&Pump::Close>("close")});
}

Pump::Pump(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  Napi::Env env = info.Env();
  if (!info[0].IsObject()) FailType(env, "options must be an object");
  uint32_t count = IntegerOf(info[0].As<Napi::Object>().Get("threads"), "threads", 1, kMostThreads);
  if (!ends_.Event().Valid()) Fail(env, "make pump", errno);
  try {
    for (uint32_t i = 0; i < count; i++) threads_.push_back(std::make_unique<PumpThread>(ends_));
  } catch (const std::system_error& error) {
    Fail(env, "make pump", error.code().value(), error.what());
  }
  loads_.resize(count);
  context_ = std::make_unique<Napi::AsyncContext>(env, "podgate.Pump");
  Watch(env);
}

Pump::~Pump() { Release(); }

void Pump::Watch(Napi::Env env) {
  PollerEvents events;
  events.ready = [this] { FromLoop(Env(), [this](Napi::Env env) { TellNews(env); }); };
  events.failed = [this](int error) {
    FromLoop(Env(), [=](Napi::Env env) { napi_fatal_exception(env, MakeError(env, "poll pump", ErrnoName(error)).Value()); });
  };
  events.teardown = [this] { Release(); };
  int error = 0;
  poller_ = Poller::Start(env, ends_.Event().Get(), Poller::Wait::kReadable, std::move(events), &error);
  if (poller_ == nullptr) Fail(env, "make pump", error);
  poller_->Unref();
}

Napi::Value Pump::Start(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  const char* operation = "pump";
  int client = static_cast<int>(IntegerOf(info[0], "client", 0, INT_MAX));
  int upstream = static_cast<int>(IntegerOf(info[1], "upstream", 0, INT_MAX));
  if (!info[2].IsObject()) FailType(env, "options must be an object");
  Napi::Object options = info[2].As<Napi::Object>();
  uint32_t idle_ms = IntegerOf(options.Get("idleMs"), "idleMs", 0, INT_MAX);
  Entry entry;
  entry.on_end = Napi::Persistent(FunctionArgument(info, 3, "onEnd"));
  Dial dial;
  Napi::Value way = options.Get("connect");
  if (!way.IsUndefined()) dial = DialOf(way, upstream, &entry.on_connected);
  if (closed_) FailClosed(env, operation);
  if (client == upstream) Fail(env, operation, EINVAL, "client and upstream are the same descriptor");
  if (int error = Unfit(client)) Fail(env, operation, error, "client is no TCP connection");
  if (int error = Unfit(upstream)) Fail(env, operation, error, "upstream is no TCP connection");

  Connections one;
  one.emplace_back(next_id_, client, upstream, idle_ms, dial);
  entry.connection = &one.front();
  size_t thread = entry.thread = LeastBusy();
  if (!ClaimDescriptor(client)) Fail(env, operation, EBUSY, "client is pumped already");
  if (!ClaimDescriptor(upstream)) {
    UnclaimDescriptor(client);
    Fail(env, operation, EBUSY, "upstream is pumped already");
  }
  try {
    Hold();
    entries_.emplace(next_id_, std::move(entry));
  } catch (...) {
    UnclaimDescriptor(client);
    UnclaimDescriptor(upstream);
    throw;
  }
  loads_[thread]++;
  threads_[thread]->Adopt(one);
  return Napi::Number::New(env, static_cast<double>(next_id_++));
}

size_t Pump::LeastBusy() const {
  return static_cast<size_t>(std::min_element(loads_.begin(), loads_.end()) - loads_.begin());
}

void Pump::Stop(const Napi::CallbackInfo& info) {
  if (!info[0].IsNumber()) FailType(info.Env(), "id must be a number");
  double id = info[0].As<Napi::Number>().DoubleValue();
  // Written so that NaN is unknown too.
  if (!(id >= 1 && id < static_cast<double>(next_id_))) return;
  auto entry = entries_.find(static_cast<uint64_t>(id));
  if (entry == entries_.end() || closed_) return;
  entry->second.connection->stop = true;
  threads_[entry->second.thread]->StopMarked();
}

Napi::Value Pump::Size(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(entries_.size()));
}

void Pump::Close(const Napi::CallbackInfo&) {
  if (closed_) return;
  closed_ = true;
  for (auto& thread : threads_) thread->Quit();
  // Otherwise when the last end has been told.
  if (entries_.empty()) Release();
}

void Pump::TellNews(Napi::Env env) {
  PumpEnds::News news = ends_.TakeAll();
  // Promises run once, after all of them.
  Napi::CallbackScope scope(env, *context_);
  for (uint64_t id : news.connected) Call(env, std::move(entries_.at(id).on_connected), {});
  for (const Connection& connection : news.ended) TellEnd(env, connection);
  // A callback may have started others, or have closed this pump.
  if (!entries_.empty()) return;
  if (closed_) Release();
  LetGo();
}

void Pump::TellEnd(Napi::Env env, const Connection& connection) {
  Napi::HandleScope scope(env);
  auto entry = entries_.find(connection.id);
  Napi::FunctionReference on_end = std::move(entry->second.on_end);
  loads_[entry->second.thread]--;
  entries_.erase(entry);
  Napi::Object end = Napi::Object::New(env);
  end.Set("up", Napi::BigInt::New(env, connection.up.Delivered()));
  end.Set("down", Napi::BigInt::New(env, connection.down.Delivered()));
  end.Set("how", Napi::String::New(env, NameOf(connection.how)));
  if (connection.how == How::kUnconnected) end.Set("error", Napi::String::New(env, ErrnoName(connection.error)));
  Call(env, std::move(on_end), {end});
}

void Pump::Call(Napi::Env env, Napi::FunctionReference function, const std::vector<napi_value>& arguments) {
  Napi::HandleScope scope(env);
  try {
    function.MakeCallback(env.Global(), arguments, *context_);
  } catch (const Napi::Error& error) {
    // Nobody else is left to take it; and the other connections' news have to be told.
    napi_fatal_exception(env, error.Value());
  }
}

void Pump::Hold() {
  if (holds_) return;
  ObjectWrap::Ref();
  poller_->Ref();
  holds_ = true;
}

void Pump::LetGo() {
  if (!holds_) return;
  holds_ = false;
  if (poller_ != nullptr) poller_->Unref();
  ObjectWrap::Unref();  // the last use of `this`
}

// Also runs while the environment ends, so it must not touch JavaScript.
void Pump::Release() {
  closed_ = true;
  threads_.clear();
  if (poller_ != nullptr) poller_->Stop();
  poller_ = nullptr;
}

}  // namespace podgate
