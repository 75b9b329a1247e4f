using Archipelago.Filed;
using Archipelago.Radosd;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Victim;
using Archipelago.Xseg;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging.Abstractions;

// A blocker in a process of its own, for tests that kill it: Archipelago.Victim SEGMENT, and for a filed DIRECTORY [shared], for a radosd CONF POOL
// NAMESPACE STATE. Serves until its input ends; with VICTIM_DIES_OF_SWAP it kills itself between executing a swap and answering it, with
// VICTIM_DIES_OF=OP likewise of any op.
using var segment = Segment.Join(args[0]);
using var reactor = new Reactor(new ReactorOptions { Name = "victim" });
var host = new PeerHost(reactor, segment, NullLoggerFactory.Instance);
Peer blocker = args.Length <= 3
    ? new FiledPeer(new FiledOptions { Directory = args[1], Shared = args.Length == 3 })
    : new RadosdPeer(new RadosdOptions { CephConf = args[1], Pool = args[2], Namespace = args[3], State = args[4] });
using var files = blocker as IDisposable;
if (Environment.GetEnvironmentVariable("VICTIM_DIES_OF") is { } op) blocker = new DyingPeer(blocker, Enum.Parse<XsegOp>(op));
if (Environment.GetEnvironmentVariable("VICTIM_DIES_OF_SWAP") != null) blocker = new DyingPeer(blocker);
var plan = new PeerPlan { Name = "blocker", Peer = blocker, Serves = "blocks", Pages = 2048 };
reactor.Post(async _ =>
{
    await host.StartAsync(plan);
    Console.WriteLine("serving");
}, null);
new Thread(() =>
{
    while (Console.Read() >= 0) { }
    reactor.Post(async _ =>
    {
        await host.StopAsync();
        reactor.Stop();
    }, null);
})
{ IsBackground = true }.Start();
reactor.Run();
