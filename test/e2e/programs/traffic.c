// SPDX-License-Identifier: Apache-2.0
/*
 * Loads a connection to `peer`, or many, and says what came of it in one line of JSON.
 * usage: traffic stream|echo|connect ADDRESS PORT CONNECTIONS SECONDS
 *
 *   stream   sends as much as goes through the connections. {"seconds":S,"bytes":N,"cpu":S,"busy":S}: until the peer has all of it
 *   echo     one byte there and back, again and again. {"seconds":S,"count":N,"p50":NS,"p99":NS}
 *   connect  connects, has one byte echoed, resets, and begins again: so many at a time. As echo; the times are of all of it
 *
 * `cpu` is the processor time of this program, `busy` that of the whole machine.
 */
#include "outcome.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define MOST 1024
#define TIMES (1 << 22)
#define WRITES_IN_TURN 4 /* then the other connections have theirs */

struct slot {
	int fd;
	int has_spoken;
	uint64_t started;
};

static struct endpoint to;
static struct slot slots[MOST];
static int count, epoll;
static uint64_t ends;
static char buffer[128 * 1024];
static uint32_t times[TIMES];
static size_t timed;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, errno == 0 ? "the connection was closed" : strerror(errno));
	exit(1);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

/* Seconds. The columns are user, nice, system, idle, iowait, irq, softirq. */
static double busy(void)
{
	unsigned long long user, nice, system, irq, softirq;
	FILE *file = fopen("/proc/stat", "r");

	if (file == NULL || fscanf(file, "cpu %llu %llu %llu %*u %*u %llu %llu", &user, &nice, &system, &irq, &softirq) != 5)
		die("read /proc/stat");
	fclose(file);
	return (double)(user + nice + system + irq + softirq) / sysconf(_SC_CLK_TCK);
}

/* Seconds. */
static double own(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static int open_socket(int flags)
{
	int fd = socket(to.address.ss_family, SOCK_STREAM | flags, 0), one = 1;

	if (fd < 0)
		die("make a socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to.address, to.size) < 0 && errno != EINPROGRESS)
		die("connect");
	return fd;
}

static void watch(int operation, struct slot *slot, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = slot };

	if (epoll_ctl(epoll, operation, slot->fd, &event) < 0)
		die("watch a socket");
}

static int wait_for(struct epoll_event *events)
{
	int ready = epoll_wait(epoll, events, 64, 10000);

	errno = ETIMEDOUT;
	if (ready <= 0)
		die("wait for the peer");
	return ready;
}

/* ------------------------------------------------------------------------------------------------ stream */

static uint64_t send_all_the_time(void)
{
	struct epoll_event events[64];
	uint64_t bytes = 0;

	while (now() < ends) {
		int ready = wait_for(events);

		for (int i = 0; i < ready; i++) {
			struct slot *slot = events[i].data.ptr;

			for (int turn = 0; turn < WRITES_IN_TURN; turn++) {
				ssize_t sent = send(slot->fd, buffer, sizeof(buffer), MSG_NOSIGNAL);

				if (sent < 0 && errno == EAGAIN)
					break;
				if (sent < 0)
					die("send");
				bytes += sent;
			}
		}
	}
	return bytes;
}

/* The peer closes when it has read everything. */
static void finish(void)
{
	struct epoll_event events[64];
	int left = count;

	for (int i = 0; i < count; i++) {
		shutdown(slots[i].fd, SHUT_WR);
		watch(EPOLL_CTL_MOD, &slots[i], EPOLLIN);
	}
	while (left > 0) {
		int ready = wait_for(events);

		for (int i = 0; i < ready; i++) {
			struct slot *slot = events[i].data.ptr;

			if (recv(slot->fd, buffer, sizeof(buffer), 0) != 0)
				die("wait for the end");
			watch(EPOLL_CTL_DEL, slot, 0);
			left--;
		}
	}
}

static void stream(void)
{
	double busy_before, own_before;
	uint64_t started, bytes;

	memset(buffer, 'd', sizeof(buffer));
	for (int i = 0; i < count; i++) {
		slots[i].fd = open_socket(0);
		fcntl(slots[i].fd, F_SETFL, O_NONBLOCK);
		watch(EPOLL_CTL_ADD, &slots[i], EPOLLOUT);
	}
	busy_before = busy();
	own_before = own();
	started = now();
	bytes = send_all_the_time();
	finish();
	printf("{\"seconds\":%.6f,\"bytes\":%llu,\"cpu\":%.6f,\"busy\":%.3f}\n", (now() - started) / 1e9,
	       (unsigned long long)bytes, own() - own_before, busy() - busy_before);
}

/* ---------------------------------------------------------------------------------------- echo, connect */

static int ascending(const void *left, const void *right)
{
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

	return (a > b) - (a < b);
}

static void note(uint64_t since)
{
	uint64_t time = now() - since;

	if (timed < TIMES)
		times[timed++] = time < UINT32_MAX ? time : UINT32_MAX;
}

static void report_times(double seconds)
{
	if (timed == 0) {
		errno = ETIMEDOUT;
		die("wait for the first answer");
	}
	qsort(times, timed, sizeof(*times), ascending);
	printf("{\"seconds\":%.6f,\"count\":%zu,\"p50\":%u,\"p99\":%u}\n", seconds, timed, times[timed / 2],
	       times[timed - 1 - timed / 100]);
}

static void echo(void)
{
	uint64_t began;
	char byte = 'e';
	int fd = open_socket(0);

	if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1)
		die("send");
	began = now();
	while (now() < ends) {
		uint64_t started = now();

		errno = 0;
		if (send(fd, &byte, 1, MSG_NOSIGNAL) != 1 || recv(fd, &byte, 1, 0) != 1)
			die("echo");
		note(started);
	}
	report_times((now() - began) / 1e9);
}

static void dial(struct slot *slot)
{
	slot->started = now();
	slot->fd = open_socket(SOCK_NONBLOCK);
	slot->has_spoken = 0;
	watch(EPOLL_CTL_ADD, slot, EPOLLOUT);
}

static void hear(struct slot *slot)
{
	static const struct linger reset = { .l_onoff = 1 };
	char byte;

	errno = 0;
	if (recv(slot->fd, &byte, 1, 0) != 1)
		die("hear the echo of a new connection");
	note(slot->started);
	setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(slot->fd);
}

static void connects(void)
{
	struct epoll_event events[64];
	uint64_t began = now();

	for (int i = 0; i < count; i++)
		dial(&slots[i]);
	while (now() < ends) {
		int ready = wait_for(events);

		for (int i = 0; i < ready; i++) {
			struct slot *slot = events[i].data.ptr;

			if (slot->has_spoken) {
				hear(slot);
				dial(slot);
			} else if (send(slot->fd, "eE", 2, MSG_NOSIGNAL) != 2) {
				die("send to a new connection");
			} else {
				slot->has_spoken = 1;
				watch(EPOLL_CTL_MOD, slot, EPOLLIN);
			}
		}
	}
	report_times((now() - began) / 1e9);
}

int main(int argc, char **argv)
{
	if (argc != 6)
		return 2;
	to = parse_endpoint(argv[2], argv[3]);
	count = atoi(argv[4]);
	ends = now() + (uint64_t)(atof(argv[5]) * 1e9);
	epoll = epoll_create1(0);
	if (count < 1 || count > MOST)
		return 2;
	if (strcmp(argv[1], "stream") == 0)
		stream();
	else if (strcmp(argv[1], "echo") == 0)
		echo();
	else if (strcmp(argv[1], "connect") == 0)
		connects();
	else
		return 2;
	return 0;
}
