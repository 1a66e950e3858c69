// @ts-check
// How a picture is laid over another that shows the same.

/** @typedef {[number, number]} Point */

/**
 * The CSS transform that moves an element of that size, from its top left, so that its corners come to lie at four
 * points, from its own top left clockwise. P. S. Heckbert, "Fundamentals of Texture Mapping and Image Warping", 1989,
 * section 2.2.3.
 *
 * @param {number} width
 * @param {number} height
 * @param {Point[]} corners
 */
export function laidOver(width, height, corners) {
  const [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = corners;
  const [dx1, dx2, sx] = [x1 - x2, x3 - x2, x0 - x1 + x2 - x3];
  const [dy1, dy2, sy] = [y1 - y2, y3 - y2, y0 - y1 + y2 - y3];
  const area = dx1 * dy2 - dx2 * dy1;
  const g = (sx * dy2 - dx2 * sy) / area;
  const h = (dx1 * sy - sx * dy1) / area;
  const columns = [
    [(x1 - x0 + g * x1) / width, (y1 - y0 + g * y1) / width, 0, g / width],
    [(x3 - x0 + h * x3) / height, (y3 - y0 + h * y3) / height, 0, h / height],
    [0, 0, 1, 0],
    [x0, y0, 0, 1],
  ];
  return `matrix3d(${columns.flat().join()})`;
}
