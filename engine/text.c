/*
 * text.c - words for people.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * Each reason is a fragment that a front can put behind "host: " or "nbd0: ".  It
 * says what was seen and, where there is something to do, what.
 */
#include "nbe.h"

static const char *const why_texts[NBE_WHYS] = {
	[NBE_WHY_NONE] = "no error",
	[NBE_WHY_CLOSED] = "the server closed the connection",
	[NBE_WHY_TLS_FAILED] = "the TLS session broke",

	[NBE_WHY_UNKNOWN_EXPORT] = "the server has no export of this name",
	[NBE_WHY_POLICY] =
	    "the server's policy forbids it; check who may connect to this export",
	[NBE_WHY_TLS_REQUIRED] = "the server demands TLS; connect with TLS",
	[NBE_WHY_TLS_REFUSED] =
	    "TLS is required here, but the server does not offer it",
	[NBE_WHY_PLATFORM] = "the server's platform does not support this",
	[NBE_WHY_INVALID] = "the server calls the request invalid",
	[NBE_WHY_SHUTDOWN] = "the server is shutting down; try again later",
	[NBE_WHY_BLOCK_SIZE_REQUIRED] =
	    "the server insists on block sizes that it does not tell",
	[NBE_WHY_TOO_BIG] = "the request is too big for the server; shorten the name",
	[NBE_WHY_UNSUPPORTED] =
	    "the server is too old for this (no NBD_OPT_LIST, INFO or GO)",
	[NBE_WHY_EXT_HEADERS_REQUIRED] =
	    "the server demands extended headers; allow them",
	[NBE_WHY_REFUSED] = "the server refused without a known reason",

	[NBE_WHY_NOT_NBD] =
	    "this is not an NBD server; check the host and the port",
	[NBE_WHY_REPLY_MAGIC] = "the server's option reply has a wrong magic number",
	[NBE_WHY_WRONG_OPTION] = "the server answered an option that was not sent",
	[NBE_WHY_UNEXPECTED_REPLY] =
	    "the server's reply is of a type that this option does not have",
	[NBE_WHY_REPLY_LENGTH] = "the server's option reply has an impossible length",
	[NBE_WHY_TOO_MANY_REPLIES] = "the server's replies to one option do not end",
	[NBE_WHY_NO_EXPORT_INFO] =
	    "the server opened the export without telling its size",
	[NBE_WHY_INFO_CONFLICT] = "the server contradicts itself about the export",
	[NBE_WHY_BAD_STRING] =
	    "the server sent a name that is too long or has a NUL in it",
	[NBE_WHY_BAD_SIZE] =
	    "the export is empty, smaller than one block, or above 8 EiB",
	[NBE_WHY_BAD_BLOCK_SIZE] = "the server's block sizes are not valid",

	[NBE_WHY_BAD_MAGIC] = "the server's reply has a wrong magic number",
	[NBE_WHY_BAD_COOKIE] = "the server answered a command that is not in flight",
	[NBE_WHY_BAD_CHUNK] =
	    "the server sent a chunk of an impossible type, flags or length",
	[NBE_WHY_BAD_RANGE] =
	    "the server sent data outside the request, or the same data twice",
	[NBE_WHY_INCOMPLETE] = "the server ended a read before all its data came",
	[NBE_WHY_WRONG_FRAMING] =
	    "the server sent a kind of reply that was not negotiated",

	[NBE_WHY_TIMEOUT] = "the server did not answer a command in time",
	[NBE_WHY_SERVER_SHUTDOWN] = "the server is shutting down",
	[NBE_WHY_SCALED] = "fewer connections were asked for",
	[NBE_WHY_RENEWED] = "it is made anew",
	[NBE_WHY_MOVED] = "the device moves to another server",
	[NBE_WHY_UNFLUSHED] =
	    "what was written could not be flushed; the device stays where it is",
	[NBE_WHY_STOPPED] = "the device was stopped",

	[NBE_WHY_SHRANK] =
	    "the export is smaller than the device; not attached, to save the data",
	[NBE_WHY_READ_ONLY] = "the export became read-only",
	[NBE_WHY_FLAGS_LOST] = "the export lost an ability that the device relies on",
	[NBE_WHY_BLOCK_SIZE_CHANGED] = "the export's block size changed",
	[NBE_WHY_PAYLOAD_SHRANK] =
	    "the server's largest payload became smaller than the device's",
	[NBE_WHY_FRAMING_LOST] =
	    "the server no longer offers the replies that the device relies on",
	[NBE_WHY_NO_MULTI_CONN] =
	    "the server does not allow several connections to this export",
	[NBE_WHY_OTHER_PATH] = "the device has left this server meanwhile",
	[NBE_WHY_OTHER_DISK] =
	    "the server has another disk; not used, to save the data on both",
};

static const char *const op_names[NBE_OPS] = {
	[NBE_READ] = "read",
	[NBE_WRITE] = "write",
	[NBE_FLUSH] = "flush",
	[NBE_TRIM] = "trim",
	[NBE_ZERO] = "zero",
	[NBE_CACHE] = "cache",
	[NBE_EXTENTS] = "extents",
};

const char *
nbe_why_text(enum nbe_why why)
{
	NBE_ASSERT(why < NBE_WHYS);
	return why_texts[why];
}

const char *
nbe_op_name(enum nbe_op op)
{
	NBE_ASSERT(op < NBE_OPS);
	return op_names[op];
}
