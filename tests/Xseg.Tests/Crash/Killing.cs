using Archipelago.Xseg.Memory;
using Xunit;

namespace Archipelago.Xseg.Tests.Crash;

/// <summary>Runs a protocol again and again, killed before its store 0, 1, 2 … until it completes.</summary>
internal static class Killing
{
    /// <summary>Runs once per store. <paramref name="act"/> is what dies; <paramref name="then"/> is told whether it did.</summary>
    internal static int BeforeEachStore<T>(Func<T> setUp, Action<T> act, Action<T, bool> then) where T : IDisposable
    {
        for (int store = 0; ; store++)
        {
            using var world = setUp();
            bool died = Run(store, () => act(world));
            try
            {
                then(world, died);
            }
            catch (Exception failure)
            {
                throw new InvalidOperationException($"killed before store {store}{(died ? "" : " (it completed)")}: {failure.Message}", failure);
            }

            if (died) continue;
            Assert.True(store > 0, "the protocol stores nothing");
            return store;
        }
    }

    /// <summary>Lets <paramref name="act"/> make <paramref name="stores"/> stores; true if it died.</summary>
    internal static bool Run(int stores, Action act)
    {
        CrashPoint.Arm(stores);
        try
        {
            act();
            return false;
        }
        catch (CrashException)
        {
            return true;
        }
        finally
        {
            CrashPoint.Disarm();
        }
    }
}
