# bash completion for nbdisk(8)
# SPDX-License-Identifier: BSD-2-Clause
#
# Verbs and options are asked of the program, so they cannot be out of date.

_nbdisk_verbs() {
	nbdisk help 2>/dev/null | sed -n 's/^  \([a-z-]*\) .*/\1/p'
}

_nbdisk_options() {
	nbdisk help "$1" 2>/dev/null | sed -n 's/^ .*\(--[a-z-]*\).*/\1/p'
}

# What a verb works on: NAME, VERB, SERVER, FILE.
_nbdisk_operand() {
	nbdisk help 2>/dev/null | sed -n "s/^  $1 *\[*\([A-Z]*\).*/\1/p"
}

_nbdisk_devices() {
	nbdisk status 2>/dev/null | sed -n '2,$s/ .*//p'
}

_nbdisk_values() {
	case $1 in
	--tls)		echo "off if-offered required" ;;
	--unflushed)	echo "fail replay ignore" ;;
	--via)		echo "auto fuse" ;;
	--for)		echo "up down gone size moved" ;;
	--sector-size)	echo "512 1024 2048 4096" ;;
	esac
}

_nbdisk_is_file() {
	case $1 in
	-A|-C|-K|--ca|--crl|--cert|--key|--key-password-file|--psk-file|--config|--hook) ;;
	*)	return 1 ;;
	esac
}

_nbdisk() {
	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
	local verb=${COMP_WORDS[1]} words

	COMPREPLY=()
	if [ "$COMP_CWORD" -eq 1 ]; then
		words=$(_nbdisk_verbs)
	elif _nbdisk_is_file "$before"; then
		COMPREPLY=($(compgen -f -- "$word"))
		return
	elif words=$(_nbdisk_values "$before"); [ -n "$words" ]; then
		:
	elif [[ $word == -* ]]; then
		words=$(_nbdisk_options "$verb")
	else
		case $(_nbdisk_operand "$verb") in
		NAME)	words=$(_nbdisk_devices) ;;
		VERB)	words=$(_nbdisk_verbs) ;;
		*)	COMPREPLY=($(compgen -f -- "$word"))
			return ;;
		esac
	fi
	COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -F _nbdisk nbdisk
