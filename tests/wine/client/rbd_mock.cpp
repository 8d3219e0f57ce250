/*
 * rbd_mock.cpp - a disk served in the way of Ceph's rbd-wnbd.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * usage: rbd_mock NAME MIB [BLOCK-SIZE]
 *
 * Requests are queued by the dispatcher's threads and answered later, by other threads,
 * with overlapped responses.  The first 4 KiB behind the middle of the disk cannot be
 * read, the last 4 KiB cannot be written.  Prints "mapped N", and when the disk has been
 * removed its counters.
 */
#include <winsock2.h>
#include <wnbd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

static const UINT8 medium_error = 3, illegal_request = 5;
static const UINT8 unrecovered_read = 0x11, write_error = 0x0c, out_of_range = 0x21;
static const int workers = 4, dispatchers = 4;

/* What stands for an RBD image. */
struct image {
	std::vector<char> bytes;
	UINT64	bad_read, bad_write;		/* 4 KiB from there on */
	std::mutex lock;
	std::condition_variable more;
	std::deque<std::function<void()>> queue;
	bool	ended = false;
};

static image *
image_of(PWNBD_DISK disk)
{
	PVOID context = nullptr;

	WnbdGetUserContext(disk, &context);
	return static_cast<image *>(context);
}

static void
enqueue(PWNBD_DISK disk, std::function<void()> job)
{
	image *i = image_of(disk);
	std::lock_guard<std::mutex> guard(i->lock);

	i->queue.push_back(std::move(job));
	i->more.notify_one();
}

static void
work(image *i)
{
	std::unique_lock<std::mutex> guard(i->lock);

	for (;;) {
		i->more.wait(guard, [i] { return i->ended || !i->queue.empty(); });
		if (i->queue.empty())
			return;
		auto job = std::move(i->queue.front());
		i->queue.pop_front();
		guard.unlock();
		job();
		guard.lock();
	}
}

/* Each thread has one event for its responses. */
static void
respond(PWNBD_DISK disk, WNBD_IO_RESPONSE *response, void *data, UINT32 size)
{
	OVERLAPPED overlapped = {};
	DWORD status, done;

	overlapped.hEvent = CreateEventA(nullptr, TRUE, FALSE, nullptr);
	status = WnbdSendResponseEx(disk, response, data, size, &overlapped);
	if (status == ERROR_IO_PENDING)
		status = GetOverlappedResult(disk->Handle, &overlapped, &done, TRUE) ?
		    0 : GetLastError();
	if (status != 0)
		std::fprintf(stderr, "response: %lu\n", status);
	CloseHandle(overlapped.hEvent);
}

static WNBD_IO_RESPONSE
response_to(UINT64 handle, WnbdRequestType type)
{
	WNBD_IO_RESPONSE response = {};

	response.RequestHandle = handle;
	response.RequestType = type;
	return response;
}

static bool
touches(UINT64 at, UINT64 size, UINT64 bad)
{
	return at < bad + 4096 && bad < at + size;
}

static VOID
on_read(PWNBD_DISK disk, UINT64 handle, PVOID, UINT64 address, UINT32 count, BOOLEAN)
{
	enqueue(disk, [=] {
		image *i = image_of(disk);
		UINT64 at = address * disk->Properties.BlockSize;
		UINT64 size = UINT64{ count } * disk->Properties.BlockSize;
		WNBD_IO_RESPONSE response = response_to(handle, WnbdReqTypeRead);

		if (at + size > i->bytes.size())
			WnbdSetSense(&response.Status, illegal_request, out_of_range);
		else if (touches(at, size, i->bad_read))
			WnbdSetSenseEx(&response.Status, medium_error, unrecovered_read,
			    i->bad_read / disk->Properties.BlockSize);
		if (response.Status.ScsiStatus != 0)
			respond(disk, &response, nullptr, 0);
		else
			respond(disk, &response, &i->bytes[at], static_cast<UINT32>(size));
	});
}

/* The dispatcher's buffer is gone when this returns: its bytes are copied. */
static VOID
on_write(PWNBD_DISK disk, UINT64 handle, PVOID buffer, UINT64 address, UINT32 count,
    BOOLEAN)
{
	const char *from = static_cast<const char *>(buffer);
	std::vector<char> bytes(from, from + size_t{ count } *
	    disk->Properties.BlockSize);

	enqueue(disk, [=, bytes = std::move(bytes)] {
		image *i = image_of(disk);
		UINT64 at = address * disk->Properties.BlockSize;
		WNBD_IO_RESPONSE response = response_to(handle, WnbdReqTypeWrite);

		if (at + bytes.size() > i->bytes.size())
			WnbdSetSense(&response.Status, illegal_request, out_of_range);
		else if (touches(at, bytes.size(), i->bad_write))
			WnbdSetSense(&response.Status, medium_error, write_error);
		else
			std::memcpy(&i->bytes[at], bytes.data(), bytes.size());
		respond(disk, &response, nullptr, 0);
	});
}

static VOID
on_flush(PWNBD_DISK disk, UINT64 handle, UINT64, UINT32)
{
	enqueue(disk, [=] {
		WNBD_IO_RESPONSE response = response_to(handle, WnbdReqTypeFlush);

		respond(disk, &response, nullptr, 0);
	});
}

static VOID
on_unmap(PWNBD_DISK disk, UINT64 handle, PWNBD_UNMAP_DESCRIPTOR ranges, UINT32 count)
{
	std::vector<WNBD_UNMAP_DESCRIPTOR> copy(ranges, ranges + count);

	enqueue(disk, [=] {
		image *i = image_of(disk);
		WNBD_IO_RESPONSE response = response_to(handle, WnbdReqTypeUnmap);

		for (const auto &r : copy) {
			UINT64 at = r.BlockAddress * disk->Properties.BlockSize;
			UINT64 size = UINT64{ r.BlockCount } * disk->Properties.BlockSize;

			if (at + size <= i->bytes.size() && size > 0)
				std::memset(&i->bytes[at], 0, size);
		}
		respond(disk, &response, nullptr, 0);
	});
}

static const WNBD_INTERFACE rbd_interface = {
	on_read, on_write, on_flush, on_unmap, nullptr, nullptr, {},
};

static VOID
on_log(WnbdLogLevel level, const char *message, const char *, UINT32,
    const char *function)
{
	std::fprintf(stderr, "libwnbd.dll!%s %s %s\n", function,
	    WnbdLogLevelToStr(level), message);
}

static void
fill(WNBD_PROPERTIES *p, const char *name, const image *i, UINT32 block_size)
{
	*p = {};
	std::snprintf(p->InstanceName, sizeof(p->InstanceName), "%s", name);
	std::snprintf(p->Owner, sizeof(p->Owner), "ceph-rbd-wnbd");
	p->BlockSize = block_size;
	p->BlockCount = i->bytes.size() / block_size;
	p->MaxUnmapDescCount = 1;
	p->Flags.FlushSupported = 1;
	p->Flags.FUASupported = 1;
	p->Flags.UnmapSupported = 1;
	p->Flags.NaaIdSpecified = 1;
	p->NaaIdentifier.data[0] = 0x60;
	p->NaaIdentifier.data[15] = 1;
}

static int
run(const char *name, image *i, UINT32 block_size)
{
	WNBD_PROPERTIES properties;
	WNBD_USR_STATS stats = {};
	PWNBD_DISK disk = nullptr;
	DWORD status, number;

	fill(&properties, name, i, block_size);
	status = WnbdCreate(&properties, const_cast<PWNBD_INTERFACE>(&rbd_interface), i,
	    &disk);
	if (status == 0)
		status = WnbdStartDispatcher(disk, dispatchers);
	if (status == 0)
		status = WnbdPollDiskNumber(name, TRUE, TRUE, 10000, 100, &number);
	if (status != 0) {
		std::fprintf(stderr, "cannot map %s: %lu\n", name, status);
		if (disk != nullptr)
			WnbdRemove(disk, nullptr);
		return static_cast<int>(status);
	}
	std::printf("mapped %lu\n", number);
	std::fflush(stdout);
	status = WnbdWaitDispatcher(disk);
	WnbdGetUserspaceStats(disk, &stats);
	std::printf("blocks %llu\nreceived %llu\nreplied %llu\nread errors %llu\n"
	    "write errors %llu\npending %llu\n", disk->Properties.BlockCount,
	    stats.TotalReceivedRequests, stats.TotalReceivedReplies, stats.ReadErrors,
	    stats.WriteErrors, stats.PendingSubmittedRequests);
	WnbdClose(disk);
	return static_cast<int>(status);
}

int
main(int argc, char **argv)
{
	std::vector<std::thread> threads;
	image i;

	if (argc < 3)
		return 2;
	i.bytes.resize(std::strtoull(argv[2], nullptr, 10) << 20);
	i.bad_read = i.bytes.size() / 2;
	i.bad_write = i.bytes.size() - 4096;
	WnbdSetLogger(on_log);
	WnbdSetLogLevel(WnbdLogLevelWarning);
	for (int n = 0; n < workers; n++)
		threads.emplace_back(work, &i);
	int status = run(argv[1], &i, argc > 3 ?
	    static_cast<UINT32>(std::atoi(argv[3])) : 512);
	{
		std::lock_guard<std::mutex> guard(i.lock);
		i.ended = true;
	}
	i.more.notify_all();
	for (auto &t : threads)
		t.join();
	return status;
}
