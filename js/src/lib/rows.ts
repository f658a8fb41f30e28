/**
 * How high a list may be, at most as high as it has room: its end falls on pictures of a row, which says that there is
 * more. `top`: where the first row begins; `pitch`: from row to row; `picture`: how high a row's picture is, its text
 * follows. Pixels.
 */
export function cutAt(room: number, top: number, pitch: number, picture: number): number {
  const rows = Math.floor((room - top) / pitch);
  if (rows < 0 || pitch <= 0) return room;
  const rest = room - top - rows * pitch;
  const [least, most] = [picture * 0.25, picture * 0.85];
  if (rest > most) return Math.floor(top + rows * pitch + most);
  return rest < least && rows > 0 ? Math.floor(top + (rows - 1) * pitch + most) : room;
}
