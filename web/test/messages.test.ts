import { expect, it } from "vitest";

import { decode } from "../src/messages";

it("reads what vks sends", () => {
  const tiles = '{"m":"tiles","shown":["room","","counsel-1"]}';
  expect(decode(tiles)).toEqual({ m: "tiles", shown: ["room", "", "counsel-1"] });
  expect(decode('{"m":"bye","code":"hearing_over","again":false,"newer":1}')).toMatchObject({ m: "bye", code: "hearing_over" });
});

it.each([
  "", "null", "7", "[]", "{", '{"m":"tiles"}', '{"m":"tiles","shown":"room"}', '{"m":"bye","code":"hearing_over","again":"no"}', '{"m":"other"}',
  '{"m":"constructor"}', '{"m":"view","place":"lobby"}', '{"m":"welcome","person":"a","name":"","role":"","title":"","resume":"","ice":{}}',
])("reads nothing in %s", (text) => {
  expect(decode(text)).toBeNull();
});
