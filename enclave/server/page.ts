/** Pages of lists that may be larger than a frame. */
import { MAX_FRAME_BYTES } from "../../shared/frame.js"

/**
 * As many of `items`, from the first on, as fit one frame in the form that `show` gives them.
 *
 * @param envelopeBytes - what stands around them in the frame, at most
 * @param bytesOf - length of one as it is encoded
 */
export function fittingFrame<Item, Shown>(
  items: readonly Item[],
  envelopeBytes: number,
  show: (item: Item) => Shown,
  bytesOf: (shown: Shown) => number,
): Shown[] {
  const page: Shown[] = []
  let room = MAX_FRAME_BYTES - envelopeBytes
  for (const item of items) {
    const shown = show(item)
    room -= bytesOf(shown)
    if (room < 0) break
    page.push(shown)
  }
  return page
}
