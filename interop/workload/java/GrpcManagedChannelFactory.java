package io.spiffe.workloadapi.internal;

import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollDomainSocketChannel;
import io.grpc.netty.shaded.io.netty.channel.epoll.EpollEventLoopGroup;
import io.grpc.netty.shaded.io.netty.channel.unix.DomainSocketAddress;
import java.net.URI;
import java.util.concurrent.ExecutorService;

/**
 * Stands before java-spiffe's own class of this name on the class path, and opens the same channel with an authority that
 * is one: grpc-java would name the socket's path (grpc-java#12664), and Node's HTTP/2 ends such a request before any of our
 * code sees it. Everything behind the channel is java-spiffe's.
 */
public final class GrpcManagedChannelFactory {
    private GrpcManagedChannelFactory() {}

    public static ManagedChannelWrapper newChannel(URI address, ExecutorService executor) {
        var group = new EpollEventLoopGroup(1, executor);
        var channel = NettyChannelBuilder.forAddress(new DomainSocketAddress(address.getPath()))
                .eventLoopGroup(group)
                .channelType(EpollDomainSocketChannel.class)
                .usePlaintext()
                .overrideAuthority("localhost")
                .build();
        return new ManagedChannelWrapper(channel, group);
    }
}
