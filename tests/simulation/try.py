import sys,time
from collections import Counter
from tests.simulation.plan import drawn
from tests.simulation.run import simulate
first, count = int(sys.argv[1]), int(sys.argv[2])
t=time.time(); v=0
kinds=Counter()
for seed in range(first, first+count):
    t0=time.time()
    o=simulate(drawn(seed)); v+=o.seconds
    if count==1 or o.broken:
        print(seed, f"{time.time()-t0:.2f} s", f"{o.seconds:.0f} v", o.steps, o.digest[:8])
        for b in o.broken[:4]: print("   ", b.promise, b.what[:400]); kinds[b.promise]+=1
    if count==1 and len(sys.argv)>3:
        for e in o.history.entries: print(f"{e.at:8.3f} {e.what} {str(e.about)[:300]}")
print(count/(time.time()-t), "seeds/s", v/3600, "h", kinds)
