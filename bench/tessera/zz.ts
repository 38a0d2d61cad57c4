import { mkdtempSync, rmSync } from "node:fs"; import { tmpdir } from "node:os"; import { join } from "node:path";
import { Ours, signEntries } from "./ours.ts";
const root = mkdtempSync(join(tmpdir(), "zz-"));
const ours = await Ours.open(signEntries(), { disk: root });
const ratios: number[] = [], plain: number[] = [], ver: number[] = [], raws: number[] = [];
for (let r=0;r<Number(process.argv[2]??8);r++) {
  const raw = await ours.raw(700);
  const v = await ours.run({kind:"closed",where:"disk",how:"verified",number:1024,ms:700});
  const p = await ours.run({kind:"closed",where:"disk",how:"plain",number:1024,ms:300});
  if (r===0) continue;
  ratios.push(raw.cpuUs/v.cpuUs); raws.push(raw.cpuUs); ver.push(v.cpuUs); plain.push(p.cpuUs);
  console.log(raw.cpuUs.toFixed(1), v.cpuUs.toFixed(1), (raw.cpuUs/v.cpuUs).toFixed(3), "plain", p.cpuUs.toFixed(1), "rate", v.rate.toFixed(0), raw.rate.toFixed(0));
}
const med=(a:number[])=>a.sort((x,y)=>x-y)[a.length>>1]!.toFixed(2);
console.log("median raw", med(raws), "verified", med(ver), "plain", med(plain), "ratio", med(ratios));
await ours.close(); rmSync(root,{recursive:true,force:true});
