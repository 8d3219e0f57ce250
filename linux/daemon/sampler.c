/*
 * sampler.c - is it the same disk?  Fingerprints of some blocks.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * What happened is put in order by a counter (clock): a read at its end, a flush at
 * its begin.  A block that was read at 5 is covered by a flush that began at 7 and was
 * done.  A change drops the blocks that it overlaps.  A read that had company of any
 * change, however short, is not remembered: it may have seen either, and its answer may
 * come later than that of a newer change.
 */
#include "sampler.h"

#include <stdlib.h>
#include <string.h>

#include "ring.h"

#define UNIT_MIN	4096u
#define IN_COMPANY	UINT64_MAX
#define EVERY		NBE_SECOND	/* a block, once all places are taken */
#define ASK_EVERY	(NBE_SECOND / 20)

struct sample {
	struct disk_io	io;		/* reads it again */
	struct sampler	*owner;
	uint64_t	offset;
	uint64_t	sum;
	uint64_t	clock;		/* when it was read */
	bool		known, same;
};

struct sampler {
	struct nbe_dev	*dev;
	uint32_t	unit;		/* bytes of a sample */
	uint64_t	clock, covered, changed;	/* last change that was done */
	uint64_t	begun;		/* changes, ever */
	uint32_t	changes;	/* under way */
	uint64_t	doubt_from, doubt_to;	/* where changes have failed */
	nbe_time	next;		/* sample, at the earliest */
	nbe_time	ask_next;
	unsigned	turn;		/* whose place is given away next */
	uint32_t	number;		/* of nbe_compared; 0: none is under way */
	unsigned	comparing;	/* reads that are not back */
	void		(*different)(void *);
	void		*arg;
	uint8_t		*data;		/* a unit for each sample */
	struct sample	sample[SAMPLES];
};

/* FNV-1a, by words; 0 for zeroes. */
static uint64_t
sum_of(const uint8_t *data, uint32_t length)
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325), any = 0, word;

	for (uint32_t i = 0; i < length; i += sizeof(word)) {
		memcpy(&word, data + i, sizeof(word));
		any |= word;
		sum = (sum ^ word) * UINT64_C(0x100000001b3);
		sum ^= sum >> 29;
	}
	return any != 0 ? sum : 0;
}

/* ---- what happens ------------------------------------------------------------ */

static bool
is_change(const struct nbe_req *r)
{
	return r->op == NBE_WRITE || r->op == NBE_ZERO || r->op == NBE_TRIM;
}

static void
drop(struct sampler *s, const struct nbe_req *r)
{
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct sample *m = &s->sample[i];

		if (m->offset < r->offset + r->length &&
		    r->offset < m->offset + s->unit)
			m->known = false;
	}
}

void
sampler_submitted(struct sampler *s, struct disk_io *io)
{
	if (is_change(&io->req)) {
		s->changes++;
		s->begun++;
		drop(s, &io->req);
	} else if (io->req.op == NBE_FLUSH) {
		io->mark = ++s->clock;
	} else {
		io->mark = s->changes == 0 ? s->begun : IN_COMPANY;
	}
}

static void
change_done(struct sampler *s, const struct nbe_req *r)
{
	s->changes--;
	s->changed = ++s->clock;
	if (r->error == NBE_OK)
		return;
	if (r->offset < s->doubt_from)
		s->doubt_from = r->offset;
	if (r->offset + r->length > s->doubt_to)
		s->doubt_to = r->offset + r->length;
}

/* Where the next one goes: a free place, the block's own, or the oldest. */
static struct sample *
place(struct sampler *s, uint64_t offset)
{
	struct sample *free_one = NULL;

	for (unsigned i = 0; i < SAMPLES; i++) {
		if (s->sample[i].known && s->sample[i].offset == offset)
			return &s->sample[i];
		if (!s->sample[i].known && free_one == NULL)
			free_one = &s->sample[i];
	}
	return free_one != NULL ? free_one : &s->sample[s->turn++ % SAMPLES];
}

static bool
all_taken(const struct sampler *s)
{
	for (unsigned i = 0; i < SAMPLES; i++)
		if (!s->sample[i].known)
			return false;
	return true;
}

static void
read_done(struct sampler *s, const struct disk_io *io, nbe_time now)
{
	const struct nbe_req *r = &io->req;
	uint64_t offset = (r->offset + s->unit - 1) / s->unit * s->unit;
	bool clean = s->changed <= s->covered;
	struct sample *m;
	uint64_t sum;

	if (io->data == NULL || now < s->next || io->mark != s->begun ||
	    offset + s->unit > r->offset + r->length ||
	    (offset < s->doubt_to && s->doubt_from < offset + s->unit))
		return;
	sum = sum_of(io->data + (offset - r->offset), s->unit);
	if (sum == 0)
		return;
	m = place(s, offset);
	m->offset = offset;
	m->sum = sum;
	m->clock = clean ? 0 : ++s->clock;
	m->known = true;
	if (all_taken(s))
		s->next = now + EVERY;
}

bool
sampler_wants(struct sampler *s, nbe_time now)
{
	if (now < s->next || now < s->ask_next)
		return false;
	s->ask_next = now + ASK_EVERY;
	return true;
}

void
sampler_done(struct sampler *s, const struct disk_io *io, nbe_time now)
{
	const struct nbe_req *r = &io->req;

	if (is_change(r))
		change_done(s, r);
	else if (r->error != NBE_OK)
		return;
	else if (r->op == NBE_FLUSH && io->mark > s->covered)
		s->covered = io->mark;
	else if (r->op == NBE_READ)
		read_done(s, io, now);
}

/* ---- another server, or the same? -------------------------------------------- */

static void
say(struct sampler *s)
{
	uint32_t number = s->number;
	bool same = true;

	for (unsigned i = 0; i < SAMPLES; i++)
		same &= s->sample[i].same;
	s->number = 0;
	if (!same)
		s->different(s->arg);
	nbe_compared(s->dev, number, same);
}

static void
compared(struct disk_io *io)
{
	struct sample *m = container_of(io, struct sample, io);
	struct sampler *s = m->owner;

	if (io->req.error == NBE_OK)
		m->same = sum_of(io->data, s->unit) == m->sum;
	if (--s->comparing == 0)
		say(s);
}

static void
read_again(struct sampler *s, struct sample *m, uint8_t *data, nbe_time now)
{
	m->io = (struct disk_io){
		.req = {
			.op = NBE_READ, .flags = NBE_COMPARE, .offset = m->offset,
			.length = s->unit,
		},
		.data = data, .done = compared,
	};
	m->owner = s;
	s->comparing++;
	nbe_submit(s->dev, &m->io.req, now);
}

bool
sampler_compare(struct sampler *s, uint32_t number, nbe_time now)
{
	if (s->comparing != 0)	/* for this number, or an earlier one: that ends soon */
		return false;
	s->number = number;
	for (unsigned i = 0; i < SAMPLES; i++) {
		struct sample *m = &s->sample[i];

		m->same = true;
		/* What no flush has covered, the server may have lost. */
		m->known &= m->clock <= s->covered;
		if (m->known)
			read_again(s, m, s->data + (size_t)i * s->unit, now);
	}
	if (s->comparing == 0)
		say(s);
	return true;
}

/* ---- life -------------------------------------------------------------------- */

struct sampler *
sampler_new(struct nbe_dev *dev, uint32_t block_min)
{
	struct sampler *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	s->dev = dev;
	s->unit = block_min > UNIT_MIN ? block_min : UNIT_MIN;
	s->doubt_from = UINT64_MAX;
	s->data = malloc((size_t)SAMPLES * s->unit);
	if (s->data != NULL)
		return s;
	free(s);
	return NULL;
}

void
sampler_on_different(struct sampler *s, void (*different)(void *), void *arg)
{
	s->different = different;
	s->arg = arg;
}

void
sampler_free(struct sampler *s)
{
	if (s == NULL)
		return;
	free(s->data);
	free(s);
}
