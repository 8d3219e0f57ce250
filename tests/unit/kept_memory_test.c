/*
 * kept_memory_test.c - memory that outlives who made it.
 * SPDX-License-Identifier: BSD-2-Clause
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kept_memory.h"
#include "test.h"

static struct nbe_dev_config
config(uint32_t records, uint64_t keep)
{
	return (struct nbe_dev_config){
		.unflushed = NBE_UNFLUSHED_REPLAY, .keep_records = records,
		.keep_size = keep,
	};
}

static void
test_the_next_one_finds_it(void)
{
	struct nbe_dev_config c = config(10, 100000);
	struct kept_memory one, two;
	struct errtext err;

	CHECK(kept_memory_open(&one, -1, &c, &err));
	CHECK(one.keep >= (uint8_t *)one.map + nbe_records_size(&c) &&
	    one.keep + c.keep_size == (uint8_t *)one.map + one.size);
	memcpy(one.map, "records", 8);
	memcpy(one.keep + c.keep_size - 5, "kept", 5);
	CHECK(kept_memory_open(&two, one.fd, &c, &err));
	kept_memory_close(&one);
	CHECK(strcmp(two.map, "records") == 0);
	CHECK(strcmp((char *)two.keep + c.keep_size - 5, "kept") == 0);
	CHECK((fcntl(two.fd, F_GETFD) & FD_CLOEXEC) != 0);
	CHECK(ftruncate(two.fd, 4096) < 0 && ftruncate(two.fd, 1 << 20) < 0);
	kept_memory_close(&two);
	kept_memory_close(&two);
}

/* Of another size, or of a kind that could become shorter while it is looked at. */
static void
test_what_does_not_fit_is_left_alone(void)
{
	struct nbe_dev_config c = config(10, 100000), other = config(10, 200000);
	struct kept_memory one, two;
	struct errtext err;
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	CHECK(kept_memory_open(&one, -1, &c, &err));
	memcpy(one.map, "records", 8);
	CHECK(kept_memory_open(&two, one.fd, &other, &err));
	CHECK(two.size != one.size && *(char *)two.map == '\0');
	kept_memory_close(&two);
	CHECK(ftruncate(fd, (off_t)one.size) == 0 && write(fd, "x", 1) == 1);
	CHECK(kept_memory_open(&two, fd, &c, &err) && *(char *)two.map == '\0');
	kept_memory_close(&two);
	CHECK(kept_memory_open(&two, file, &c, &err) && *(char *)two.map == '\0');
	kept_memory_close(&two);
	kept_memory_close(&one);
	close(fd);
	close(file);
}

static const struct test tests[] = {
	TEST(the_next_one_finds_it),
	TEST(what_does_not_fit_is_left_alone),
};

int
main(void)
{
	return TEST_MAIN(tests);
}
