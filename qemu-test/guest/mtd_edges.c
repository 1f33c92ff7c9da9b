// SPDX-License-Identifier: GPL-2.0
/*
 * What a program meets at the edges of /dev/mtd0: one line for each system call, to be compared between drivers. The
 * device is 1 MiB.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE (1 << 20)

static void say(const char *what, long long result)
{
	printf("%s = %lld%s%s\n", what, result, result < 0 ? " " : "", result < 0 ? strerror(errno) : "");
}

#define SAY(call) (errno = 0, say(#call, (long long)(call)))

int main(void)
{
	static char buf[2 * SIZE];
	int fd = open("/dev/mtd0", O_RDWR);
	int ro = open("/dev/mtd0ro", O_RDONLY);
	void *volatile nowhere = (void *)8;
	void *map;

	if (fd < 0 || ro < 0) {
		perror("open");
		return 1;
	}
	memset(buf, 'x', sizeof(buf));

	SAY(lseek(fd, 0, SEEK_END));
	SAY(lseek(fd, 1, SEEK_END));
	SAY(lseek(fd, -1, SEEK_SET));
	SAY(lseek(fd, 1LL << 40, SEEK_SET));
	SAY(lseek(fd, -1, SEEK_END));
	SAY(read(fd, buf, 16));
	SAY(read(fd, buf, 16));
	SAY(write(fd, buf, 1));
	SAY(lseek(fd, -3, SEEK_END));
	SAY(write(fd, buf, 16));
	SAY(lseek(fd, 0, SEEK_CUR));

	SAY(pread(fd, buf, 0, 0));
	SAY(pread(fd, buf, sizeof(buf), 0));
	SAY(pread(fd, buf, 8, SIZE));
	SAY(pread(fd, buf, 8, SIZE + 1));
	SAY(pread(fd, buf, 8, -1));
	SAY(pread(fd, nowhere, 8, 0));
	SAY(pwrite(fd, buf, 0, 0));
	SAY(pwrite(fd, buf, sizeof(buf), SIZE / 2));
	SAY(pwrite(fd, buf, 1, SIZE));
	SAY(pwrite(fd, nowhere, 8, 0));
	SAY(pwrite(ro, buf, 1, 0));
	SAY(ftruncate(fd, 0));
	SAY(fsync(fd));

	map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	say("mmap shared", map == MAP_FAILED ? -1 : 0);
	map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, ro, 0);
	say("mmap private", map == MAP_FAILED ? -1 : 0);
	return 0;
}
