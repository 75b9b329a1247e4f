using System.Globalization;
using Archipelago.Bench;
using Archipelago.Runtime.Logging;
using Archipelago.Runtime.Routing;
using Archipelago.Runtime.Scheduling;
using Archipelago.Xseg.Memory;
using Microsoft.Extensions.Logging;

namespace Archipelago.Experiments.Roles;

/// <summary>
/// A process that hosts peers on one reactor, pinned if wanted: <c>role serve SEGMENT CORE SPIN_US PEER,… [SECTION.KEY=VALUE …]</c>.
/// It says "ready", then answers lines: "stats" with the CPU seconds of the process and the managed bytes that the reactor's
/// thread has allocated; those of <see cref="VolumeCommands"/>; "stop" with "stopped" once all peers are at rest. At the end of its stdin it ends at once.
/// </summary>
internal static class ServeRole
{
    internal static int Run(string[] arguments)
    {
        var (directory, core, spin) = (arguments[0], Number(arguments[1]), Number(arguments[2]));
        var plans = PeerMaker.Plans(arguments[3].Split(','), arguments[4..]);
        using var logs = LoggingSetup.Create(new LogOptions { Level = LogLevel.Warning });
        using var segment = Segment.Join(directory);
        using var reactor = new Reactor(new ReactorOptions { MaximumSpin = TimeSpan.FromMicroseconds(spin) });
        var user = new VolumeUser();
        var commands = new VolumeCommands(reactor, plans, user);
        var host = new PeerHost(reactor, segment, logs.Factory);
        var thread = new Thread(() =>
        {
            if (core >= 0) ThreadCpu.Pin(core);
            reactor.Run();
        })
        { IsBackground = true };
        thread.Start();
        On(reactor, async () =>
        {
            foreach (var plan in plans) await host.StartAsync(plan);
            await host.StartAsync(user.Plan);
            return 0;
        });
        Console.WriteLine("ready");
        while (Console.ReadLine() is { } line)
        {
            if (line == "stats")
            {
                long allocated = On(reactor, () => Task.FromResult(GC.GetAllocatedBytesForCurrentThread()));
                Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{ThreadCpu.Process.TotalSeconds} {allocated}"));
                continue;
            }

            if (commands.Answer(line) is { } answer)
            {
                Console.WriteLine(answer);
                continue;
            }

            On(reactor, async () =>
            {
                await host.StopAsync();
                return 0;
            });
            Console.WriteLine("stopped");
            reactor.Stop();
            thread.Join();
            return 0;
        }

        return 1;
    }

    private static int Number(string text) => int.Parse(text, CultureInfo.InvariantCulture);

    private static T On<T>(Reactor reactor, Func<Task<T>> work) => reactor.CallAsync(work).GetAwaiter().GetResult();
}
