// SPDX-License-Identifier: GPL-2.0
/* Stands where systemd-journald listens, and prints each entry that it gets, until the guest goes. */
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(void)
{
	static char entry[1 << 20];
	struct sockaddr_un place = { .sun_family = AF_UNIX, .sun_path = "/run/systemd/journal/socket" };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	ssize_t len;

	if (fd < 0 || bind(fd, (struct sockaddr *)&place, sizeof(place))) {
		perror(place.sun_path);
		return 1;
	}
	while ((len = recv(fd, entry, sizeof(entry), 0)) >= 0) {
		fwrite(entry, 1, len, stdout);
		printf("-- end of an entry of %zd bytes\n", len);
		fflush(stdout);
	}
	perror("recv");
	return 1;
}
