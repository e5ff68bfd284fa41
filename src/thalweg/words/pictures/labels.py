"""Names beside points, none over another: a greedy placement.

The words come by rank, so the first gets the best place: to the right of its point, then left, above, below and aslant, then the
same farther away with a thin line back. A place is free if it covers no name placed before, no line, no other point, and lies in
the frame. A name without a free place is left out; its point stays. Everything is in points of 1/72 inch.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

DISTANCES = (3.0, 5.5, 9.0, 13.0, 18.0, 24.0, 31.0, 39.0)  # from the point to the nearest edge of its name
LINE_FROM = 7.0  # a name farther away than that has a line
MARKER = 2.3  # half the width of a mark that no other name may cover
AIR = 0.5  # between two names
SAMPLES = np.linspace(0, 1, 9)[1:-1, None]  # along a line, where it is looked at


def place(points: Doubles, sizes: Doubles, frame: tuple[float, float]) -> Doubles:
    """The centres of the names of the first m points, NaN for a name that finds no place.   points: (n, 2) -> (m, 2)

    sizes (m, 2): width and height of each name; frame: width and height of the picture, whose corner (0, 0) is at the lower left.
    """
    centres = np.full((len(sizes), 2), np.nan)
    boxes = np.empty((0, 4))  # left, bottom, right, top of the names placed
    lines = np.empty((0, 2))  # points along the lines drawn
    for j in range(len(sizes)):
        others = np.delete(points, j, axis=0)
        others = others[(np.abs(others - points[j]) > 1e-9).any(axis=1)]  # words at the same place share a mark
        spots = points[j] + _offsets(sizes[j])
        found = _rectangles(spots, sizes[j] / 2)
        free = (found[:, :2] >= 0).all(axis=1) & (found[:, 2:] <= frame).all(axis=1)
        free &= ~_overlap(found, boxes, AIR) & ~_cover(found, others, MARKER) & ~_cover(found, lines, AIR)
        for k in np.flatnonzero(free):
            drawn = _line(points[j], spots[k], sizes[j] / 2)
            if _cover(boxes, drawn, 0).any() or _cover(np.concatenate([drawn, drawn], axis=1), others, MARKER).any():
                continue
            centres[j] = spots[k]
            boxes = np.concatenate([boxes, found[k : k + 1]])
            lines = np.concatenate([lines, drawn])
            break
    return centres


def touching(point: Doubles, centre: Doubles, size: Doubles) -> Doubles | None:
    """Where a line from a point meets its name, None if the name is near enough to need none.   (2,)"""
    half = size / 2
    edge = np.clip(point, centre - half, centre + half)
    return np.asarray(edge) if np.hypot(*(edge - point)) > LINE_FROM else None


def _offsets(size: Doubles) -> Doubles:
    """Where the centre of a name can be, seen from its point, the best first.   (m, 2)"""
    found = []
    for distance in DISTANCES:
        n = 8 if distance < LINE_FROM else 16
        angles = 2 * np.pi * np.arange(n) / n
        way = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # right first, then against the clock
        # a box that just leaves the circle of this radius: its nearest edge or corner lies on it
        offsets = way * distance + np.sign(np.where(np.abs(way) > 0.3, way, 0)) * size / 2
        order = np.argsort(np.where(way[:, 0] > 0.3, 0, np.where(way[:, 0] < -0.3, 1, 2)) + np.abs(way[:, 1]) * 0.5, kind="stable")
        found.append(offsets[order])
    return np.concatenate(found)


def _rectangles(centres: Doubles, half: Doubles) -> Doubles:
    return np.concatenate([centres - half, centres + half], axis=1)


def _overlap(found: Doubles, boxes: Doubles, air: float) -> npt.NDArray[np.bool_]:
    """Which of the rectangles meet any of the others.   (m, 4), (k, 4) -> (m,)"""
    apart = (found[:, None, :2] >= boxes[None, :, 2:] + air) | (found[:, None, 2:] + air <= boxes[None, :, :2])
    meets: npt.NDArray[np.bool_] = np.any(~np.any(apart, axis=2), axis=1)
    return meets


def _cover(found: Doubles, points: Doubles, margin: float) -> npt.NDArray[np.bool_]:
    """Which of the rectangles, widened by a margin, hold any of the points.   (m, 4), (k, 2) -> (m,)"""
    inside = (points[None] > found[:, None, :2] - margin) & (points[None] < found[:, None, 2:] + margin)
    holds: npt.NDArray[np.bool_] = np.any(np.all(inside, axis=2), axis=1)
    return holds


def _line(point: Doubles, centre: Doubles, half: Doubles) -> Doubles:
    """Points along the line from a point to its name, none if it has no line.   (k, 2)"""
    edge = touching(point, centre, 2 * half)
    return np.empty((0, 2)) if edge is None else point + SAMPLES * (edge - point)


__all__ = ["place", "touching"]
