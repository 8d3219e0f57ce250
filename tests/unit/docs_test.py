#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""The pages for people: they are in the index, say for whom they are, lead to what is
there, and show commands that the program has.  Each block of commands says before it
whether it is run (by tests/interop/pages_test.py), what runs it, or why it is not.  TAP.

usage: docs_test.py SOURCE-ROOT NBDISK

Each rule is a function from the text of pages, by path, to complaints; beside it stands a
violation that it must find.
"""
import json
import os
import re
import shlex
import subprocess
import sys

ROOT, NBDISK = sys.argv[1:]
INDEX = 'docs/index.md'
LINK = re.compile(r'\[[^\]]*\]\(([^)#\s]+)(#[^)\s]*)?\)')
# A command at the beginning of a line of an example, or in backquotes.
SHOWN = re.compile(r'^(?:[$#] )?(nbdisk [a-z].*)$|`(nbdisk [a-z][^`]*)`')
# What stands before a block of commands; other blocks name their language.
MARK = re.compile(r'<!-- (?:run|run by: (?P<by>[^>]+)|not run: \S[^>]*) -->$')
LANGUAGES = ('c', 'ini', 'text')
COMMAND = re.compile(r'(?:[$#>] )?(?:nbdisk|gnbd|wnbd-client|make|meson|ninja) ')
MANUAL = re.compile(r'^\.Dl (?:[#$] )?(nbdisk .*)$')


def pages():
    names = ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'linux/man/nbdisk.8']
    names += ['docs/' + name for name in os.listdir(os.path.join(ROOT, 'docs'))
              if name.endswith('.md')]
    texts = {}
    for name in names:
        with open(os.path.join(ROOT, name), encoding='utf-8') as f:
            texts[name] = f.read()
    return texts


def are_in_the_index(texts):
    for name in texts:
        if name.startswith('docs/') and name != INDEX and \
                '](%s)' % os.path.basename(name) not in texts[INDEX]:
            yield f'{name} is not in {INDEX}'


def say_for_whom(texts):
    for name, text in texts.items():
        if name.startswith('docs/') and not re.match(r'# .*\n\nFor ', text):
            yield f'{name} does not begin with whom it is for'


def anchors(text):
    """As GitHub and others make them of headings."""
    for heading in re.findall(r'^#+ (.*)$', text, re.M):
        yield '#' + re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')


def lead_somewhere(texts):
    for name, text in texts.items():
        for target, anchor in LINK.findall(text):
            if '://' in target:
                continue
            path = os.path.normpath(os.path.join(os.path.dirname(name), target))
            if not os.path.exists(os.path.join(ROOT, path)):
                yield f'{name}: no {path}'
            elif anchor and anchor not in anchors(texts.get(path, '')):
                yield f'{name}: no {anchor} in {path}'


def reasons_are_counted(texts):
    """Where the report of the bench says that they are."""
    with open(os.path.join(ROOT, 'bench/report.py'), encoding='utf-8') as f:
        found = re.findall(r'(docs/\w+\.md)(#[\w-]+)', f.read())
    if not found:
        yield 'bench/report.py has no reasons'
    for page, anchor in found:
        if anchor not in anchors(texts.get(page, '')):
            yield f'bench/report.py: no {anchor} in {page}'


def commands(name, text):
    inside = name.startswith('linux/man')
    for line in text.split('\n'):
        if line.startswith('```'):
            inside = not inside
        for match in (MANUAL if name.startswith('linux/man') else SHOWN).finditer(line):
            words = next(filter(None, match.groups()))
            if inside or line[match.start()] == '`':
                yield re.split(r'\s{2,}|\s*[|>]|\\$', words)[0].strip(' \\')


def blocks(text):
    """(what stands before, language, lines) of what is fenced."""
    before, inside = '', None
    for line in text.split('\n'):
        if inside is None and line.startswith('```'):
            language, inside = line[3:], []
        elif inside is None:
            before = line
        elif line == '```':
            yield before, language, inside
            before, inside = '', None
        else:
            inside.append(line)


def say_whether_they_are_run(texts):
    for name, text in texts.items():
        for before, language, lines in blocks(text):
            mark = MARK.match(before)
            if language and language not in LANGUAGES:
                yield f'{name}: a block in {language}'
            elif language:
                yield from (f'{name}: a command in a block in {language}: {line}'
                            for line in lines if COMMAND.match(line))
            elif not mark:
                yield f'{name}: is it run? {lines[0]}'
            else:
                yield from (f'{name}: no {path}' for path in
                            (mark['by'].split(', ') if mark['by'] else [])
                            if not os.path.exists(os.path.join(ROOT, path)))


VERBS = {v['verb']: v for v in json.loads(subprocess.run(
    [NBDISK, 'help', '--json'], check=True, capture_output=True).stdout)}


def wrong(command):
    """What the program does not have; an empty text: all is there."""
    words = shlex.split(command, comments=True)[1:]
    if words[0] not in VERBS:
        return f'no verb {words[0]}'
    known = VERBS[words[0]]['options']
    for word in words[1:]:
        if word.startswith('--') and word[2:].split('=')[0] not in [
                o['name'] for o in known]:
            return f'{words[0]} has no {word}'
        if re.match(r'-[A-Za-z]$', word) and word[1] not in [o['letter'] for o in known]:
            return f'{words[0]} has no {word}'
    return ''


def show_what_there_is(texts):
    for name, text in texts.items():
        for command in commands(name, text):
            if wrong(command):
                yield f'{name}: {command}: {wrong(command)}'


def are_enough(texts):
    shown = sum(len(list(commands(name, text))) for name, text in texts.items())
    if shown < 40:
        yield f'only {shown} commands were found in all pages'


RULES = [
    ('pages are in the index', are_in_the_index, {'docs/new.md': '# New\n\nFor all.\n'}),
    ('pages say for whom they are', say_for_whom, {'docs/new.md': '# New\n\nIt is.\n'}),
    ('links lead somewhere', lead_somewhere, {'README.md': '[x](docs/no-page.md)'}),
    ('anchors lead somewhere', lead_somewhere, {'README.md': '[x](docs/linux.md#nowhere)'}),
    ('reasons that the bench names are there', reasons_are_counted,
     {'docs/performance.md': '# Performance\n\nFor all.\n'}),
    ('verbs that are shown are there', show_what_there_is,
     {'README.md': '```\n$ nbdisk fly nbd0\n```\n'}),
    ('options that are shown are there', show_what_there_is,
     {'linux/man/nbdisk.8': '.Dl # nbdisk scale --wings 2 nbd0\n'}),
    ('blocks of commands say whether they are run', say_whether_they_are_run,
     {'README.md': '# x\n\n```\n$ nbdisk status\n```\n'}),
    ('what runs them is there', say_whether_they_are_run,
     {'README.md': '<!-- run by: tests/none -->\n```\n$ nbdisk status\n```\n'}),
    ('other blocks have no commands', say_whether_they_are_run,
     {'README.md': '```text\n$ nbdisk status\n```\n'}),
    ('commands are found', are_enough, None),
]


def main():
    texts, number, failed = pages(), 0, False

    def row(good, what, why):
        nonlocal number, failed
        number += 1
        failed |= not good
        for line in why:
            print('#', line)
        print('ok' if good else 'not ok', number, '-', what)

    for what, rule, planted in RULES:
        complaints = list(rule(texts))
        row(not complaints, what, complaints)
        spoilt = list(rule({**texts, **planted} if planted else {}))
        row(len(spoilt) > len(complaints), what + ': a violation is noticed', [])
    print('1..%d' % number)
    return failed


sys.exit(main())
