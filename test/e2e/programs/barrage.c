// SPDX-License-Identifier: Apache-2.0
/*
 * Dials addresses as fast as it can, one after the other, and counts what connect() said. Each connection is closed
 * with a RST at once, so that neither side keeps a port.
 *
 * usage: barrage [-s SECONDS] [-n ROUNDS] [-i MICROSECONDS] [-w] ADDRESS PORT [ADDRESS PORT]...
 *   -s, -n  how long, or how many times every address is dialled; neither: until SIGTERM
 *   -i      pause between rounds
 *   -w      a line for every address whose result is not what it was before; the first results too
 *
 * The last line is {"seconds":S,"targets":[{"ok":N,"p50":NS,"p99":NS,"errors":{"EPERM":N}}]}: times are those of
 * connect() itself, whatever it said. A connect that takes 3 s has failed, with EINPROGRESS.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ERRNOS 256
#define STEPS 64	   /* of the histogram, per power of two: times are known to 1.6 % */
#define BUCKETS (40 * STEPS) /* up to 2^40 ns */

struct target {
	struct sockaddr_storage address;
	socklen_t length;
	int last; /* errno of the last connect; -1 before the first */
	uint64_t results[ERRNOS];
	uint64_t times[BUCKETS];
};

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static unsigned int bucket(uint64_t time)
{
	unsigned int power = time < STEPS ? 0 : 63 - __builtin_clzll(time) - 5;
	unsigned int index = power == 0 ? time : power * (STEPS / 2) + (time >> power);

	return index < BUCKETS ? index : BUCKETS - 1;
}

/* The lowest time of a bucket: the inverse of `bucket`. */
static uint64_t time_of(unsigned int bucket)
{
	unsigned int power = bucket < STEPS ? 0 : bucket / (STEPS / 2) - 1;

	return power == 0 ? bucket : (uint64_t)(bucket - power * (STEPS / 2)) << power;
}

static uint64_t percentile(const struct target *target, unsigned int percent)
{
	uint64_t total = 0, seen = 0;

	for (unsigned int i = 0; i < BUCKETS; i++)
		total += target->times[i];
	for (unsigned int i = 0; i < BUCKETS; i++) {
		seen += target->times[i];
		if (seen * 100 >= total * percent)
			return time_of(i);
	}
	return 0;
}

static void parse(struct target *target, const char *address, const char *port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target->address;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target->address;

	target->last = -1;
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		target->length = sizeof(*v4);
	} else if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(port));
		target->length = sizeof(*v6);
	} else {
		fprintf(stderr, "dial %s: not an IP address\n", address);
		exit(2);
	}
}

/* Returns what connect() said: 0 or an errno. */
static int dial(struct target *target)
{
	static const struct linger reset = { .l_onoff = 1 };
	static const struct timeval patience = { .tv_sec = 3 };
	int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	uint64_t started;
	int result;

	if (fd < 0)
		die("make a socket");
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	started = now();
	result = connect(fd, (struct sockaddr *)&target->address, target->length) == 0 ? 0 : errno;
	target->times[bucket(now() - started)]++;
	close(fd);
	return result;
}

static const char *name_of(int result)
{
	return result == 0 ? "ok" : strerrorname_np(result);
}

static void print_report(const struct target *targets, int count, uint64_t time)
{
	printf("{\"seconds\":%.6f,\"targets\":[", time / 1e9);
	for (int i = 0; i < count; i++) {
		const char *comma = "";

		printf("%s{\"ok\":%lu,\"p50\":%lu,\"p99\":%lu,\"errors\":{", i ? "," : "", targets[i].results[0],
		       percentile(&targets[i], 50), percentile(&targets[i], 99));
		for (int result = 1; result < ERRNOS; result++) {
			if (targets[i].results[result] == 0)
				continue;
			printf("%s\"%s\":%lu", comma, name_of(result), targets[i].results[result]);
			comma = ",";
		}
		printf("}}");
	}
	printf("]}\n");
}

int main(int argc, char **argv)
{
	struct sigaction on_stop = { .sa_handler = stop };
	double seconds = 1e9;
	uint64_t rounds = UINT64_MAX, started;
	unsigned int pause = 0;
	int watch = 0, count, option;
	struct target *targets;

	while ((option = getopt(argc, argv, "s:n:i:w")) != -1) {
		if (option == 's')
			seconds = atof(optarg);
		else if (option == 'n')
			rounds = strtoull(optarg, NULL, 10);
		else if (option == 'i')
			pause = atoi(optarg);
		else if (option == 'w')
			watch = 1;
		else
			return 2;
	}
	count = (argc - optind) / 2;
	targets = calloc(count, sizeof(*targets));
	if (!targets)
		die("remember targets");
	for (int i = 0; i < count; i++)
		parse(&targets[i], argv[optind + 2 * i], argv[optind + 2 * i + 1]);
	sigaction(SIGTERM, &on_stop, NULL);

	started = now();
	for (uint64_t round = 0; round < rounds && !stopped && now() - started < seconds * 1e9; round++) {
		for (int i = 0; i < count && !stopped; i++) {
			int result = dial(&targets[i]);

			if (result == EINTR && stopped)
				break;
			targets[i].results[result < ERRNOS ? result : ERRNOS - 1]++;
			if (watch && result != targets[i].last) {
				printf("{\"target\":%d,\"result\":\"%s\"}\n", i, name_of(result));
				fflush(stdout);
			}
			targets[i].last = result;
		}
		if (pause)
			usleep(pause);
	}
	print_report(targets, count, now() - started);
	return 0;
}
