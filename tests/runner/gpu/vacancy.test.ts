/** That a GPU has given back what a killed engine held is looked at, and not taken for granted. */
import { expect, test } from "vitest";
import { Vacancy } from "#gpu-runner/gpu/vacancy.ts";
import { FakeDriver, FIRST, HEADER, SECOND } from "./fake-driver.ts";

const BUS = "00000000:3B:00.0";
const holding = (mib: number) => FIRST.replace(" 1024,", ` ${mib},`);

async function before(driver: FakeDriver, withinMs?: number): Promise<Vacancy> {
  await driver.smi(holding(300), SECOND);
  const vacancy = await Vacancy.before(BUS, withinMs);
  if (vacancy === null) throw new Error("the driver says what it holds");
  return vacancy;
}

test("a GPU that holds what it held before is free, whatever another one holds", async () => {
  const driver = await FakeDriver.install();
  const vacancy = await before(driver);
  await driver.smi(holding(900), SECOND.replace(" 0,", " 70000,"));
  expect(await vacancy.heldStill()).toBeNull();
});

test("one that gives the memory back a moment later is waited for", async () => {
  const driver = await FakeDriver.install();
  const vacancy = await before(driver);
  await driver.program(
    "nvidia-smi",
    `[ -e ${driver.dir}/asked ] && used=300 || used=60000\ntouch ${driver.dir}/asked\n` +
      `cat <<END\n${HEADER}\n${holding(1).replace(" 1,", " $used,")}\nEND`,
  );
  expect(await vacancy.heldStill()).toBeNull();
});

test("one that does not is told, with what it holds", async () => {
  const driver = await FakeDriver.install();
  const vacancy = await before(driver, 0);
  await driver.smi(holding(60_000), SECOND);
  expect(await vacancy.heldStill()).toMatch(/3B:00.0 holds 62914560000 bytes/);
});

test("of a slice, or where the driver does not say, nothing is claimed", async () => {
  const driver = await FakeDriver.install();
  await driver.smi(FIRST.replace("Disabled", "Enabled"));
  expect(await Vacancy.before(BUS)).toBeNull();
  await driver.smi(FIRST.replace(" 1024,", " [N/A],"));
  expect(await Vacancy.before(BUS)).toBeNull();
});
