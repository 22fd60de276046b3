/*
 * Opens connections one after the other and counts what comes of them.
 * usage: flood ADDRESS PORT COUNT PAUSE-MICROSECONDS        COUNT 0: until SIGTERM
 *
 * Prints "started" after the first, and at the end {"connected":..,"refused":..,"other":..,"last":".."}: `refused` is
 * EPERM, `other` any other error, `last` the last of those. Connections end with a reset, so that no port stays taken.
 */
#include "outcome.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	(void)signal;
	stopping = 1;
}

int main(int argc, char **argv)
{
	unsigned long connected = 0, refused = 0, other = 0;
	int last = 0;

	if (argc != 5) {
		fprintf(stderr, "usage: flood ADDRESS PORT COUNT PAUSE-MICROSECONDS\n");
		return 2;
	}
	struct endpoint to = parse_endpoint(argv[1], argv[2]);
	unsigned long count = strtoul(argv[3], NULL, 10);
	useconds_t pause = (useconds_t)strtoul(argv[4], NULL, 10);
	struct linger reset = { .l_onoff = 1 };

	signal(SIGTERM, stop);
	for (unsigned long i = 0; !stopping && (count == 0 || i < count); i++) {
		int fd = socket(to.address.ss_family, SOCK_STREAM, 0);

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(fd, (struct sockaddr *)&to.address, to.size) == 0) {
			connected++;
		} else if (errno == EPERM) {
			refused++;
		} else if (!stopping || errno != EINTR) {
			other++;
			last = errno;
		}
		close(fd);
		if (i == 0) {
			puts("started");
			fflush(stdout);
		}
		if (pause)
			usleep(pause);
	}
	printf("{\"connected\":%lu,\"refused\":%lu,\"other\":%lu,\"last\":\"%s\"}\n", connected, refused, other,
	       last ? strerrorname_np(last) : "");
	return 0;
}
