-- gnbd.lua - for lldb: every NBD device of a kernel or a core, told in full.
-- SPDX-License-Identifier: BSD-2-Clause
--
--	# lldb -c /dev/mem /boot/kernel/kernel
--	(lldb) script dofile 'freebsd/debug/gnbd.lua'
--
-- The module has to be built with DEBUG_FLAGS=-g.  Prints of each device its
-- g_nbd_softc and the engine's nbe_dev, but for the statistics; of each connection its
-- state, threads and socket; and the requests that the engine has.

local target = lldb.debugger:GetSelectedTarget()
local process = target:GetProcess()

-- { name, bit } in the order in which they are printed.
local sockbuf_flags = {
	{ "TLS_RX", 0x01 }, { "TLS_RX_RUNNING", 0x02 }, { "WAIT", 0x04 },
	{ "SEL", 0x08 }, { "ASYNC", 0x10 }, { "UPCALL", 0x20 }, { "NOINTR", 0x40 },
	{ "KNOTE", 0x100 }, { "NOCOALESCE", 0x200 }, { "IN_TOE", 0x400 },
	{ "AUTOSIZE", 0x800 }, { "STOP", 0x1000 }, { "AIO_RUNNING", 0x2000 },
}
local sockbuf_states = {
	{ "CANTSENDMORE", 0x10 }, { "CANTRCVMORE", 0x20 }, { "RCVATMARK", 0x40 },
}
local socket_states = {
	{ "ISCONNECTED", 0x02 }, { "ISCONNECTING", 0x04 },
	{ "ISDISCONNECTING", 0x08 }, { "ISDISCONNECTED", 0x2000 },
}
local socket_options = {
	{ "KEEPALIVE", 0x08 }, { "LINGER", 0x80 }, { "REUSEADDR", 0x04 },
}
local bio_flags = {
	{ "ERROR", 0x01 }, { "DONE", 0x02 }, { "ONQUEUE", 0x04 },
	{ "ORDERED", 0x08 }, { "UNMAPPED", 0x10 },
}
local bio_commands = { "READ", "WRITE", "DELETE", "GETATTR", "FLUSH",
	"CMD0", "CMD1", "CMD2", "ZONE", "SPEEDUP" }
-- enum req_state from 1 on.
local req_states = { "QUEUED", "FENCED", "BUSY", "UNKEPT", "DONE" }

local function bits(value, names)
	local text = {}

	for _, entry in ipairs(names) do
		if value & entry[2] ~= 0 then
			text[#text + 1] = entry[1]
			value = value & ~entry[2]
		end
	end
	if value ~= 0 then
		text[#text + 1] = string.format("0x%x", value)
	end
	return table.concat(text, ",")
end

-- A member by its path: get(softc, "sc_mtx", "mtx_lock").
local function get(value, ...)
	for _, name in ipairs({ ... }) do
		value = value:GetChildMemberWithName(name)
	end
	return value
end

local function number(value, ...)
	return get(value, ...):GetValueAsUnsigned()
end

local function pointed(value, ...)
	local pointer = get(value, ...)

	if pointer:GetValueAsUnsigned() == 0 then
		return nil
	end
	return pointer:Dereference()
end

-- Where a type has a member, also one of a member without a name: its type, its offset.
local function place(type, name)
	for i = 0, type:GetNumberOfFields() - 1 do
		local field = type:GetFieldAtIndex(i)
		local offset = field:GetOffsetInBytes()

		if field:GetName() == name then
			return field:GetType(), offset
		elseif field:GetName() == nil or field:GetName() == "" then
			local found, inner = place(field:GetType(), name)

			if found then
				return found, offset + inner
			end
		end
	end
end

-- lldb 19 forgets how the members of a socket are aligned as soon as it has looked at a
-- value, and reads its buffers in the wrong place: so that is asked for first.
local sockbufs = {}
for _, name in ipairs({ "so_snd", "so_rcv" }) do
	sockbufs[name] = { place(target:FindFirstType("socket"), name) }
end

local function sockbuf_of(socket, name)
	local type, offset = table.unpack(sockbufs[name])

	return socket:CreateChildAtOffset(name, offset, type)
end

local function sockbuf_text(name, sockbuf)
	return string.format("%s<flags<%s>,state<%s>,acc<%d>,ccc<%d>,hiwat<%d>>",
	    name, bits(number(sockbuf, "sb_flags") & 0xffff, sockbuf_flags),
	    bits(number(sockbuf, "sb_state"), sockbuf_states),
	    number(sockbuf, "sb_acc"), number(sockbuf, "sb_ccc"),
	    number(sockbuf, "sb_hiwat"))
end

local function print_socket(socket)
	print("socket[")
	print(string.format("  options<%s>, state<%s>, error<%d>,",
	    bits(number(socket, "so_options") & 0xffff, socket_options),
	    bits(number(socket, "so_state"), socket_states),
	    number(socket, "so_error")))
	print("  " .. sockbuf_text("snd", sockbuf_of(socket, "so_snd")) .. ",")
	print("  " .. sockbuf_text("rcv", sockbuf_of(socket, "so_rcv")))
	print("]")
end

-- The frames of a connection's thread, down to where the module called out.
local function print_thread(tid)
	for i = 0, process:GetNumThreads() - 1 do
		local thread = process:GetThreadAtIndex(i)

		if thread:GetThreadID() == tid then
			print(tostring(thread))
			for n = 0, thread:GetNumFrames() - 1 do
				print("  " .. tostring(thread:GetFrameAtIndex(n)))
			end
		end
	end
end

-- The request is the first member of the module's g_nbd_io.
local function print_request(request)
	local io = request:Cast(target:FindFirstType("g_nbd_io"):GetPointerType())
	    :Dereference()
	local bio = pointed(io, "io_bio")
	local command = number(bio, "bio_cmd")
	local state = number(io, "io_req", "state")

	print(string.format("(nbe_req *) 0x%x state=%s parts=%d refs=%d",
	    request:GetValueAsUnsigned(), req_states[state] or state,
	    number(io, "io_req", "parts"), number(io, "io_refs")))
	print(string.format("bio[%s<%s>%d:%d]", bio_commands[command] or command,
	    bits(number(bio, "bio_flags"), bio_flags), number(bio, "bio_offset"),
	    number(bio, "bio_length")))
end

-- What is under way has slots; what waits is in a queue: for its turn, for a lost
-- write, or for room to keep what was answered.  Two requests are the engine's own and
-- have no bio.
local function print_requests(dev)
	local seen = {
		[0] = true,
		[get(dev, "own_flush"):GetLoadAddress()] = true,
		[get(dev, "replay"):GetLoadAddress()] = true,
	}
	local function once(request)
		local address = request:GetValueAsUnsigned()

		if not seen[address] then
			seen[address] = true
			print_request(request)
		end
	end

	for i = 0, number(dev, "slots") - 1 do
		local slot = dev:GetValueForExpressionPath(
		    string.format("->slot[%d]", i))

		if number(slot, "used") ~= 0 then
			once(get(slot, "req"))
		end
	end
	for _, queue in ipairs({ get(dev, "queue"), get(dev, "fenced"),
	    get(dev, "un", "unkept") }) do
		local request = get(queue, "head")

		while request:GetValueAsUnsigned() ~= 0 do
			once(request)
			request = get(request:Dereference(), "next")
		end
	end
end

local function print_engine(dev)
	print(string.format("(nbe_dev *) 0x%x", dev:GetValueAsUnsigned()))
	for i = 0, dev:GetNumChildren() - 1 do
		local member = dev:GetChildAtIndex(i)

		if member:GetName() ~= "st" then
			print(tostring(member))
		end
	end
end

local function print_connection(conn)
	if number(conn, "nc_refs") == 0 then
		return
	end
	print(string.format("(g_nbd_conn *) 0x%x nc_index=%d nc_refs=%d " ..
	    "nc_closing=%d nc_tls_max=%d", conn:GetLoadAddress(),
	    number(conn, "nc_index"), number(conn, "nc_refs"),
	    number(conn, "nc_closing"), number(conn, "nc_tls_max")))
	for i = 0, 1 do
		print_thread(get(conn, "nc_tid"):GetChildAtIndex(i)
		    :GetValueAsUnsigned())
	end
	local socket = pointed(conn, "nc_so")
	if socket then
		print_socket(socket)
	end
end

local function print_device(softc)
	local dev = get(softc, "sc_dev")

	print(tostring(softc))
	if dev:GetValueAsUnsigned() ~= 0 then
		print_engine(dev)
	end
	local conns = get(softc, "sc_conn")
	for i = 0, number(softc, "sc_conns_max") - 1 do
		local pointer = conns:GetChildAtIndex(i)

		if pointer:GetValueAsUnsigned() ~= 0 then
			print_connection(pointer:Dereference())
		end
	end
	if dev:GetValueAsUnsigned() ~= 0 then
		print_requests(dev)
	end
end

local class = target:FindFirstGlobalVariable("g_nbd_class")
local geom = get(class, "geom", "lh_first")
local softc_type = target:FindFirstType("g_nbd_softc"):GetPointerType()

while geom:GetValueAsUnsigned() ~= 0 do
	local softc = get(geom:Dereference(), "softc")

	if softc:GetValueAsUnsigned() ~= 0 then
		print_device(softc:Cast(softc_type):Dereference())
	end
	geom = get(geom:Dereference(), "geom", "le_next")
end
