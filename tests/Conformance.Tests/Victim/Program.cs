using Archipelago.Filed;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging.Abstractions;

// A filed in a process of its own, for tests that kill it: Archipelago.Victim SEGMENT DIRECTORY. Serves until its input ends.
using var segment = Segment.Join(args[0]);
using var reactor = new Reactor(new ReactorOptions { Name = "victim" });
var host = new PeerHost(reactor, segment, NullLoggerFactory.Instance);
using var filed = new FiledPeer(new FiledOptions { Directory = args[1] });
var plan = new PeerPlan { Name = "blocker", Peer = filed, Serves = "blocks", Pages = 2048 };
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
