"""plots - figures as SVG.

SPDX-License-Identifier: BSD-2-Clause

usage: plots.py CSV DIRECTORY
"""
import math
import os
import sys

import report
from rows import CONNECTIONS, DEPTHS, Shape

WIDTH, HEIGHT = 560, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 120, 34, 42
COLORS = {'bound': '#888', 'nbdisk': '#06c', 'nbdisk-uring': '#06c',
          'nbdisk-fuse': '#39c', 'libnbd': '#c60', 'nbdfuse': '#c60',
          'qemu-img': '#393', 'qemu-sd': '#393', 'nbdcopy': '#93c'}
STYLE = 'font-family="sans-serif" font-size="12"'


def text(x, y, words, anchor='start', more=''):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{words}</text>'


def short(value):
    for factor, unit in ((1e6, 'M'), (1e3, 'k')):
        if value >= factor:
            return f'{value / factor:g}{unit}'
    return f'{value:g}'


def page(title, parts):
    return '\n'.join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'{STYLE}>', f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        text(LEFT, 20, title, more='font-weight="bold"'), *parts, '</svg>', ''])


def grid(y_of, ticks):
    for tick in ticks:
        y = y_of(tick)
        yield (f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
               'stroke="#ddd"/>')
        yield text(LEFT - 6, y + 4, short(tick), 'end')


def curves(title, x_label, xs, lines):
    """lines: client -> {x: IOPS}; both axes are logarithmic."""
    values = [v for line in lines.values() for v in line.values()]
    low = 10 ** math.floor(math.log10(min(values)))
    high = 10 ** math.ceil(math.log10(max(values)))

    def x_of(x):
        return LEFT + math.log(x / xs[0]) / math.log(xs[-1] / xs[0]) * (
            WIDTH - LEFT - RIGHT)

    def y_of(y):
        return HEIGHT - BOTTOM - math.log(y / low) / math.log(high / low) * (
            HEIGHT - TOP - BOTTOM)

    decades = round(math.log10(high / low))
    parts = list(grid(y_of, [m * low * 10 ** d for d in range(decades)
                             for m in (1, 2, 5)] + [high]))
    parts += [text(x_of(x), HEIGHT - BOTTOM + 18, x, 'middle') for x in xs]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, x_label, 'middle'))
    ends = []
    for client, line in lines.items():
        points = ' '.join(f'{x_of(x):.1f},{y_of(line[x]):.1f}' for x in sorted(line))
        color = COLORS[client]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" '
                     'stroke-width="2"/>')
        ends.append((y_of(line[max(line)]), client, color))
    bottom = 0
    for y, client, color in sorted(ends):       # names must not lie on each other
        bottom = max(y, bottom + 14)
        parts.append(text(WIDTH - RIGHT + 8, bottom + 4, client,
                          more=f'fill="{color}"'))
    return page(title, parts)


def bars(title, unit, groups):
    """groups: name -> {client: value}.  From zero, so that lengths compare."""
    count = sum(len(group) + 1 for group in groups.values())
    high = max(v for group in groups.values() for v in group.values())
    height = (HEIGHT - TOP - 10) / count
    y, parts = TOP, []
    for name, group in groups.items():
        parts.append(text(8, y + height * (len(group) / 2 + 0.3), name))
        for client, value in group.items():
            width = value / high * (WIDTH - 330)
            parts.append(f'<rect x="210" y="{y:.1f}" width="{width:.1f}" '
                         f'height="{height * 0.8:.1f}" fill="{COLORS[client]}"/>')
            parts.append(text(204, y + height * 0.7, client, 'end'))
            parts.append(text(216 + width, y + height * 0.7, f'{value:.3g} {unit}'))
            y += height
        y += height
    return page(title, parts)


# ---- which there are -------------------------------------------------------------

def along(found, clients, shapes, x_of):
    lines = {}
    for client in clients:
        line = {x_of(s): found[client, s]['iops'] for s in shapes
                if (client, s) in found}
        if len(line) > 1:
            lines[client] = line
    return lines


def scale_plots(found):
    depth = [Shape('null', 'unix', 4096, 1, d, 'r') for d in DEPTHS]
    conns = [Shape('null', 'unix', 4096, c, 32, 'r') for c in CONNECTIONS]
    direct, attached = ['bound', 'nbdisk', 'libnbd'], ['nbdisk-uring', 'nbdfuse']
    for name, clients, where in (('', direct, ''),
                                 ('attached-', attached, ' of the loop device')):
        for by, xs, shapes, title in (
                ('depth', DEPTHS, depth, 'one connection'),
                ('conns', CONNECTIONS, conns, 'depth 32 each' if not name else
                 'depth 32')):
            lines = along(found, clients, shapes,
                          lambda s, by=by: getattr(s, by))
            if lines:
                label = 'connections' if by == 'conns' else by
                yield (f'{name}iops-{by}.svg',
                       curves(f'4 KiB reads per second{where}, {title}', label, xs,
                              lines))


def cpu_plots(found):
    for transport in ('unix', 'tcp', 'tls'):
        groups = {}
        for size, conns, depth in ((4096, 1, 1), (4096, 1, 32), (262144, 1, 8)):
            shape = Shape('null', transport, size, conns, depth, 'r')
            group = {client: found[client, shape]['cpu'] / (size / 4096)
                     for client in ('bound', 'nbdisk', 'libnbd', 'nbdcopy', 'qemu-img')
                     if (client, shape) in found}
            if group:
                groups[f'{size // 1024}K {conns}x{depth}'] = group
        if groups:
            yield (f'cpu-{transport}.svg',
                   bars(f'CPU of the client per 4 KiB read, {transport}', 'us',
                        groups))


def write_all(directory, found):
    os.makedirs(directory, exist_ok=True)
    for name, svg in (*scale_plots(found), *cpu_plots(found)):
        with open(os.path.join(directory, name), 'w', encoding='utf-8') as f:
            f.write(svg)


if __name__ == '__main__':
    write_all(sys.argv[2], report.read_csv(sys.argv[1]))
