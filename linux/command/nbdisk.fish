# fish completion for nbdisk(8)
# SPDX-License-Identifier: BSD-2-Clause
#
# Verbs and options are asked of the program, so they cannot be out of date.

function __nbdisk_verbs
	nbdisk help 2>/dev/null | string replace -rf '^  ([a-z-]+) .*  ([a-z].*)' '$1\t$2'
end

function __nbdisk_options
	set -l words (commandline -opc)
	nbdisk help $words[2] 2>/dev/null | string match -r -- '--[a-z-]+'
end

function __nbdisk_devices
	nbdisk status 2>/dev/null | tail -n +2 | string replace -r ' .*' ''
end

# What the verb works on: NAME, VERB, SERVER, FILE.
function __nbdisk_works_on
	set -l words (commandline -opc)
	test (count $words) -gt 1; and nbdisk help 2>/dev/null |
		string match -qr -- "^  $words[2] +\\[?$argv[1]"
end

function __nbdisk_has
	contains -- --$argv[1] (__nbdisk_options)
end

function __nbdisk_at_option
	set -l words (commandline -opc)
	test (count $words) -gt 1; and string match -q -- '-*' (commandline -ct)
end

complete -c nbdisk -n '__nbdisk_has tls' -l tls -x -a 'off if-offered required'
complete -c nbdisk -n '__nbdisk_has unflushed' -l unflushed -x -a 'fail replay ignore'
complete -c nbdisk -n '__nbdisk_has via' -l via -x -a 'auto fuse'
complete -c nbdisk -n '__nbdisk_has for' -l for -x -a 'up down gone size moved'
complete -c nbdisk -n '__nbdisk_has sector-size' -l sector-size -x -a '512 1024 2048 4096'
complete -c nbdisk -n __fish_use_subcommand -f -a '(__nbdisk_verbs)'
complete -c nbdisk -n __nbdisk_at_option -f -a '(__nbdisk_options)'
complete -c nbdisk -n '__nbdisk_works_on VERB' -f -a '(__nbdisk_verbs)'
complete -c nbdisk -n '__nbdisk_works_on NAME' -f -a '(__nbdisk_devices)'
