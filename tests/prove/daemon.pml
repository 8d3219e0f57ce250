/*
 * daemon.pml - the life of linux/daemon/daemon_*.c, for spin.
 * SPDX-License-Identifier: BSD-2-Clause
 *
 * The daemon's stages, its flags and its helper, with the names they have there.  Around
 * it: a command that attaches, a polite and an impatient user, a signal, a server that
 * may be gone for ever, somebody who unmounts.  Each event of the ring is one atomic
 * step, in any order.
 *
 * Must hold: nothing gets stuck; who asks for the end is answered, once; after force it
 * always ends; a device that is in use is not taken away without force.
 */
mtype = { STARTING, RUNNING, DETACHING, DRAINING, STOPPED };
mtype = { ATTACH, DETACH, FORCE, RESIZE, NONE };

mtype stage = STARTING;
bool want_attach = true, want_detach, want_force, want_resize;
bool forced, detached, reported, disk_stopped, disk_stopping;
bool asker;			/* a polite user waits for an answer */
bool in_use;			/* mounted, or open */
bool served = true;		/* the server answers, or will */
bool fuse_ended, expired;
mtype job = NONE;		/* what the helper does */
byte answers;
bool lost;			/* the last flush failed */
bool was_taken;			/* detached in use, without force */

inline stop_by_force() {
	if
	:: !forced ->
		forced = true; stage = DRAINING;
		want_attach = false; want_detach = false; want_resize = false;
		want_force = true; disk_stopping = true
	:: else
	fi
}

inline stop_softly() {
	if
	:: stage == RUNNING -> stage = DETACHING; want_detach = true
	:: else
	fi
}

inline answer() {
	if
	:: asker -> asker = false; answers++
	:: else
	fi
}

inline check_end() {
	if
	:: stage == RUNNING && fuse_ended -> stop_by_force()
	:: else
	fi;
	if
	:: stage == DETACHING && detached -> stage = DRAINING; disk_stopping = true
	:: else
	fi;
	if
	:: stage == DRAINING && disk_stopped && detached -> stage = STOPPED
	:: forced && expired -> stage = STOPPED
	:: else
	fi;
	if	/* the sockets close when the process ends: that is the answer */
	:: stage == STOPPED -> answer()
	:: else
	fi
}

inline give() {
	if
	:: job == NONE && want_force -> want_force = false; job = FORCE
	:: job == NONE && !want_force && want_attach -> want_attach = false; job = ATTACH
	:: job == NONE && !want_force && !want_attach && want_detach ->
		want_detach = false; job = DETACH
	:: job == NONE && !want_force && !want_attach && !want_detach && want_resize ->
		want_resize = false; job = RESIZE
	:: else
	fi
}

inline turn() { check_end(); give() }

inline attach_done(ok) {
	if
	:: !ok -> reported = true; stop_by_force()
	:: ok && stage == STARTING ->
		stage = RUNNING; reported = true
	:: else
	fi
}

inline detach_done(ok) {
	if
	:: forced
	:: !forced && ok -> detached = true; was_taken = was_taken || in_use
	:: else -> detached = false; stage = RUNNING; answer()
	fi
}

/* What the helper finds: the result is an event of the daemon's ring. */
active proctype helper() {
end:	do
	:: atomic { stage != STOPPED && job == ATTACH ->
		job = NONE;
		if
		:: true -> attach_done(true)
		:: true -> attach_done(false)
		fi; turn() }
	:: atomic { stage != STOPPED && job == RESIZE -> job = NONE; turn() }
	:: atomic { stage != STOPPED && job == DETACH ->
		job = NONE;
		if
		:: in_use -> detach_done(false)
		:: !in_use -> detach_done(true)
		fi; turn() }
	:: atomic { stage != STOPPED && job == FORCE -> job = NONE; detached = true; turn() }
	:: stage == STOPPED -> break
	od
}

active proctype daemon_start() { atomic { turn() } }

active proctype disk() {
end:	do
	:: atomic { stage != STOPPED && disk_stopping && !disk_stopped && (forced || served) ->
		disk_stopped = true;
		if
		:: !forced && lost -> answer()	/* what was lost is said */
		:: else
		fi; turn() }
	:: atomic { stage != STOPPED && !disk_stopping && stage == RUNNING && !want_resize ->
		want_resize = true; turn() }
	:: stage == STOPPED -> break
	od
}

active proctype timer() {
end:	atomic { forced && stage != STOPPED -> expired = true; turn() }
}

active proctype user() {
end:	do
	:: atomic { stage == RUNNING && !in_use -> in_use = true }
	:: atomic { in_use -> in_use = false }
	:: stage == STOPPED -> break
	od
}

byte asks;
active proctype polite() {
end:	do
	:: atomic { stage != STOPPED && asks < 2 && !asker ->
		asks++;
		if
		:: stage == RUNNING -> asker = true; stop_softly(); turn()
		:: stage == DRAINING -> asker = true	/* waits for the end too */
		:: else -> answers++			/* refused at once */
		fi }
	:: stage == STOPPED -> break
	od
}

bool insisted;
active proctype impatient() {
end:	atomic { stage != STOPPED -> insisted = true; stop_by_force(); turn() }
}

active proctype signal() {
end:	atomic {
		stage != STOPPED ->
		if
		:: stage == STARTING -> stop_by_force()
		:: else -> stop_softly()
		fi;
		turn()
	}
}

active proctype stranger() {
end:	if
	:: atomic { stage == RUNNING -> fuse_ended = true; in_use = false; turn() }
	:: stage == STOPPED
	fi
}

active proctype network() {
	if
	:: served = false
	:: lost = true
	:: skip
	fi
}

ltl force_ends { [] (insisted -> <> (stage == STOPPED)) }
ltl all_are_answered { [] (stage == STOPPED -> !asker) }
ltl answered_once { [] (answers <= asks) }
ltl in_use_stays { [] (!was_taken) }
ltl drained_or_forced { [] ((stage == STOPPED && !forced) -> (disk_stopped && detached)) }
